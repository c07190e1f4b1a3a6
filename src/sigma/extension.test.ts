import { describe, expect, test } from 'vitest'
import type { Extension, RuleTest } from './ast.ts'
import { load, loadClean } from './testing.ts'

const HEAD =
  'title: A rule\nid: 00000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: {category: test}\ndetection: {s: {a: 1}, condition: s}\n'
const extension = (body: string): Extension => loadClean(`${HEAD}${body}`).detections[0]!.extension
const mistakes = (body: string) => load(`${HEAD}${body}`).diagnostics.filter(({ severity }) => severity === 'error')

const DEFAULTS = {
  mode: 'alert',
  grace: 900_000,
  entities: { device: 'device.id', user: 'user.id', agent: 'gen_ai.agent.name', agent_session: 'gen_ai.conversation.id' },
  suppress: undefined,
  response: [],
  tests: [],
}

test('without a section, and with an empty one, the defaults hold', () => {
  expect(extension('')).toEqual(DEFAULTS)
  expect(extension('x-cordon: {}\n')).toEqual(DEFAULTS)
})

test('what is written takes the place of the defaults; entities join them', () => {
  const body = `x-cordon:
  mode: enforce
  time: {grace: 1h}
  entities: {user: user.email, host: host.name}
  suppress: {by: host.name, for: 90s}
  response: [{do: quarantine_device, target: device}, {do: notify, message: 'look at {{host.name}}'}]
`
  expect(extension(body)).toEqual({
    mode: 'enforce',
    grace: 3_600_000,
    entities: { ...DEFAULTS.entities, user: 'user.email', host: 'host.name' },
    suppress: { by: ['host.name'], for: 90_000 },
    response: [
      { do: 'quarantine_device', target: 'device' },
      { do: 'notify', message: 'look at {{host.name}}' },
    ],
    tests: [],
  })
})

test.each([
  ['x-cordon: [mode]', 'CORDON-VALUE', 6, 11],
  ['x-cordon: {mode: on}', 'CORDON-VALUE', 6, 18],
  ['x-cordon: {time: {grace: soon}}', 'CORDON-VALUE', 6, 26],
  ['x-cordon: {time: {grace: 15}}', 'CORDON-VALUE', 6, 26],
  ['x-cordon: {suppress: {by: [], for: 1h}}', 'CORDON-VALUE', 6, 27],
  ['x-cordon: {suppress: {by: [a]}}', 'CORDON-VALUE', 6, 22],
  ['x-cordon: {response: [{do: quarantine}]}', 'CORDON-VALUE', 6, 28],
  ['x-cordon: {response: [{do: notify, approval: none}]}', 'CORDON-KEY-UNKNOWN', 6, 36],
  ['x-cordon: {response: [{do: notify, title: "{{{user.name}}}"}]}', 'CORDON-VALUE', 6, 43],
  ['x-cordon: {response: [{do: notify, title: "{{#user}}x{{/user}}"}]}', 'CORDON-VALUE', 6, 43],
  ['x-cordon: {response: [{do: notify, title: "{{>user}}"}]}', 'CORDON-VALUE', 6, 43],
  ['x-cordon: {response: [{do: notify, title: "{{user"}]}', 'CORDON-VALUE', 6, 43],
  ['x-cordon: {response: [{do: notify, title: "{{=<% %>=}}"}]}', 'CORDON-VALUE', 6, 43],
  ['x-cordon: {response: [{do: quarantine_device, message: x}]}', 'CORDON-KEY-MISPLACED', 6, 56],
  ['x-cordon: {list: {owner: o, entries: {}}}', 'CORDON-KEY-UNKNOWN', 6, 12],
  ['x-cordon: {posture: []}', 'CORDON-VALUE', 6, 21],
  ['x-cordon: {posture: {require: [user.mfa]}}', 'CORDON-VALUE', 6, 21],
  ['x-cordon: {posture: {require: [], unknown: pass}}', 'CORDON-VALUE', 6, 31],
  ['x-cordon: {posture: {require: [user.mfaa], unknown: pass}}', 'CORDON-VALUE', 6, 32],
  ['x-cordon: {posture: {require: [user.mfa], unknown: maybe}}', 'CORDON-VALUE', 6, 52],
  ['x-cordon: {first_seen: {}}', 'CORDON-VALUE', 6, 24],
  ['x-cordon: {first_seen: {learn: 1d, values: 1}}', 'CORDON-VALUE', 6, 44],
  ['x-cordon: {first_seen: {learn: 1d}}', 'CORDON-KEY-MISPLACED', 6, 24],
  ['x-cordon: {silence: {}}', 'CORDON-VALUE', 6, 21],
  ['x-cordon: {silence: true}', 'CORDON-KEY-MISPLACED', 6, 21],
  ['x-cordon: {version: 1}', 'CORDON-KEY-NOT-BUILT', 6, 12],
  ['x_cordon: {mode: enforce}', 'CORDON-KEY-UNKNOWN', 6, 1],
  ['xcordon: {mode: enforce}', 'CORDON-KEY-UNKNOWN', 6, 1],
])('%s is refused with %s at its place', (body, code, line, column) => {
  expect(mistakes(`${body}\n`)).toMatchObject([{ code, where: { line, column } }])
})

test('an unknown key is answered with the keys of its own place', () => {
  const hint = (body: string) => mistakes(`${body}\n`).find(({ code }) => code === 'CORDON-KEY-UNKNOWN')?.hint
  expect(hint('x-cordon: {time: {grase: 1m}}')).toBe('Did you mean "grace"?')
  expect(hint('x-cordon: {time: {by: 1m, grace: 1m}}')).toBe('keys are grace')
  expect(hint('x-cordon: {response: [{do: notify, massage: x}]}')).toBe('Did you mean "message"?')
  expect(hint('x-cordon: {response: [{do: notify, limits: {}}]}')).toMatch(/policy/)
  expect(hint('x-cordon: {tests: [{name: t, events: [{a: 1}], expect: {alerts: 1, lvel: low}}]}')).toBe('Did you mean "level"?')
})

describe('tests of a rule', () => {
  const tests = (body: string): readonly RuleTest[] => extension(`x-cordon:\n  tests:\n${body}`).tests
  const BASE = `    - name: base
      events:
        - {'@timestamp': 2026-03-01T10:00:00Z, a.b: 1, c: {d: [x], e: 9007199254740993}}
        - {'@timestamp': 2026-03-01T10:01:00Z, a.b: 2}
      expect: {alerts: 1, level: high, entities: {device: d1}, actions: [notify], late: false}
`

  test('are taken over, with their place', () => {
    expect(tests(BASE)).toEqual([
      {
        name: 'base',
        events: [
          { '@timestamp': '2026-03-01T10:00:00Z', 'a.b': 1, c: { d: ['x'], e: 9007199254740993n } },
          { '@timestamp': '2026-03-01T10:01:00Z', 'a.b': 2 },
        ],
        shuffle: false,
        expect: { alerts: 1, level: 'high', entities: { device: 'd1' }, actions: ['notify'], late: false },
        where: { file: '0.yml', line: 8, column: 7 },
      },
    ])
  })

  test('"set" changes a copy, in the spelling that the event has', () => {
    const [base, changed] = tests(
      `${BASE}    - {name: other, like: base, shuffle: true, set: {0.a.b: 7, 0.c.d: y, 1.x.y: z, '1.@timestamp': 2026-03-01T11:00:00Z}, expect: {alerts: 0}}\n`,
    )
    expect(changed).toMatchObject({
      name: 'other',
      shuffle: true,
      events: [
        { '@timestamp': '2026-03-01T10:00:00Z', 'a.b': 7, c: { d: 'y', e: 9007199254740993n } },
        { '@timestamp': '2026-03-01T11:00:00Z', 'a.b': 2, 'x.y': 'z' },
      ],
      expect: { alerts: 0 },
    })
    expect(base!.events[0]).toEqual({ '@timestamp': '2026-03-01T10:00:00Z', 'a.b': 1, c: { d: ['x'], e: 9007199254740993n } })
  })

  test('a test may be like one that is itself like another', () => {
    const all = tests(
      `${BASE}    - {name: second, like: base, set: {0.f: 1}, expect: {alerts: 1}}\n    - {name: third, like: second, set: {0.g: 2}, expect: {alerts: 1}}\n`,
    )
    expect(all[2]!.events[0]).toMatchObject({ f: 1, g: 2 })
  })

  test('"repeat" makes copies of an event in its place, numbered and one later than the other', () => {
    const all = tests(
      `${BASE}    - {name: many, like: base, set: {0.file.path: '/a/{n}'}, repeat: {event: 0, times: 3, every: 2s}, expect: {alerts: 1}}\n    - {name: fewer, like: many, repeat: {times: 2, every: 1m}, expect: {alerts: 1}}\n`,
    )
    const marks = (at: number) => all[at]!.events.map((event) => [event['@timestamp'], event['file.path']])
    expect(marks(1).slice(0, 3)).toEqual([
      ['2026-03-01T10:00:00.000Z', '/a/0'],
      ['2026-03-01T10:00:02.000Z', '/a/1'],
      ['2026-03-01T10:00:04.000Z', '/a/2'],
    ])
    expect(marks(1)).toHaveLength(all[0]!.events.length + 2)
    expect(marks(2)[1]).toEqual(['2026-03-01T10:01:00.000Z', '/a/1'])
  })

  test.each([
    ['{name: t, expect: {alerts: 1}}', 'CORDON-TEST'],
    ['{name: t, like: base, repeat: {event: 9, times: 2, every: 1s}, expect: {alerts: 1}}', 'CORDON-TEST'],
    ['{name: t, like: base, repeat: {times: 2, every: soon}, expect: {alerts: 1}}', 'CORDON-TEST'],
    ['{name: t, events: [{a: 1}], repeat: {times: 2, every: 1s}, expect: {alerts: 1}}', 'CORDON-TEST'],
    ['{name: t, like: base, repeat: {times: 1, every: 1s}, expect: {alerts: 1}}', 'CORDON-VALUE'],
    ['{name: t, like: base, events: [{a: 1}], expect: {alerts: 1}}', 'CORDON-TEST'],
    ['{name: t, events: [{a: 1}], set: {0.a: 2}, expect: {alerts: 1}}', 'CORDON-TEST'],
    ['{name: base, events: [{a: 1}], expect: {alerts: 1}}', 'CORDON-TEST'],
    ['{name: t, like: base, set: {2.a: 2}, expect: {alerts: 1}}', 'CORDON-TEST'],
    ['{name: t, like: base, set: {a.b: 2}, expect: {alerts: 1}}', 'CORDON-TEST'],
    ["{name: t, events: [{'@timestamp': noon}], expect: {alerts: 1}}", 'CORDON-TEST'],
    ['{name: t, events: [], expect: {alerts: 1}}', 'CORDON-VALUE'],
    ['{name: t, events: [{a: 1}]}', 'CORDON-VALUE'],
    ['{name: t, events: [{a: 1}], expect: {alerts: some}}', 'CORDON-VALUE'],
    ['{name: t, events: [{a: 1}], expect: {alerts: 1, actions: [quarantine]}}', 'CORDON-VALUE'],
    ['{name: t, events: [{a: 1}], expect: {alerts: 1, entities: {devise: x}}}', 'CORDON-ENTITY-UNKNOWN'],
    ['{name: t, events: [{a: 1}], expects: {alerts: 1}, expect: {alerts: 1}}', 'CORDON-KEY-UNKNOWN'],
  ])('%s is refused', (line, code) => {
    expect(mistakes(`x-cordon:\n  tests:\n${BASE}    - ${line}\n`)).toMatchObject([{ code, where: { line: 13 } }])
  })

  test('events of a correlation need a time', () => {
    const { diagnostics } = load(
      `name: r\n${HEAD}---\ntitle: C\nid: 00000000-0000-4000-8000-000000000002\nlevel: low\ncorrelation: {type: temporal, rules: [r], timespan: 1m}\nx-cordon: {tests: [{name: t, events: [{a: 1}], expect: {alerts: 1}}]}\n`,
    )
    expect(diagnostics).toMatchObject([{ code: 'CORDON-TEST', where: { line: 12, column: 39 } }])
  })
})
