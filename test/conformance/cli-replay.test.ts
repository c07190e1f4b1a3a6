import { afterAll, describe, expect, it } from 'vitest'
import { type Alert, alertsIn, brief, FILES, Workplace } from './commands.ts'

const place = new Workplace({ ...FILES, 'embedded.yml': 'store: { kind: embedded }' })
afterAll(() => place.remove())

/** Replays events, each an object or a line as it is, without regard to log sources. */
async function replay(rules: string, events: readonly (object | string)[], more = '--logsource any'): Promise<Alert[]> {
  const file = place.write('given.ndjson', events.map((event) => (typeof event === 'string' ? event : JSON.stringify(event))).join('\n'))
  return alertsIn(await place.run(`replay ${more} --rules ${rules} ${file}`))
}

describe('arguments', () => {
  const all = ['Listed 2', 'Single 1', 'Single 2', 'Single 3']

  it.each([
    '--logsource any --rules rules --lists lists/names.yml events.ndjson',
    '--rules rules --lists lists events.ndjson --logsource any',
    'events.ndjson --rules rules --lists lists --logsource any',
    '--lists lists/names.yml --rules rules/deeper rules/listed.yml rules/single.yml events.ndjson --logsource any',
    '--rules rules events.ndjson --lists lists/names.yml --logsource any',
    '--rules rules --rules lists --logsource any -- events.ndjson',
    '--rules rules lists --logsource=any --format ndjson --source ecs.passthrough events.ndjson',
  ])('%s', async (args) => {
    const outcome = await place.run(`replay ${args}`)
    expect([outcome.code, brief(alertsIn(outcome)).sort()]).toEqual([0, all])
    expect(outcome.err).toContain('4 lines, 4 events, 0 skipped, 4 alerts')
  })

  it.each([
    '--logsource any --rules rules lists -',
    '--rules rules --lists lists - --logsource any',
    '- --rules rules lists --logsource any',
  ])('%s, as a process, from standard input: alerts and nothing else', (args) => {
    const outcome = place.spawn(`replay ${args}`, FILES['events.ndjson'])
    expect([outcome.code, brief(alertsIn(outcome)).sort()]).toEqual([0, all])
  })

  it.each([
    ['no rules', 'events.ndjson'],
    ['no events', '--rules rules'],
    ['no events behind a list', '--rules rules --lists lists'],
    ['a folder for events', '--rules rules lists rules'],
    ['events that are not there', '--rules rules lists nowhere.ndjson'],
    ['rules that are not there', '--rules nowhere events.ndjson'],
    ['an unknown source', '--rules rules lists --source nowhere events.ndjson'],
    ['another log source than any', '--rules rules --logsource linux events.ndjson'],
    ['another format', '--rules rules --format xml events.ndjson'],
    ['an unknown option', '--rules rules --wat events.ndjson'],
    ['two files', 'events.ndjson bad.ndjson --rules rules'],
    ['a file and a store', '--rules rules lists --from elasticsearch events.ndjson'],
    ['another store', '--rules rules lists --from splunk'],
    ['what selects from a store, of a file', '--rules rules lists --since 1h events.ndjson'],
    ['a store that is not configured', '--rules rules lists --from elasticsearch'],
    ['a store that is no cluster', '--rules rules lists --from elasticsearch --config embedded.yml'],
    ['no time', '--rules rules lists --from elasticsearch --config embedded.yml --since lately'],
    ['a rule that nobody knows', '--rules rules lists --why-not nothing events.ndjson'],
  ])('%s: exit 3, and why', async (_, args) => {
    const { code, out, err } = await place.run(`replay ${args}`)
    expect([code, out]).toEqual([3, []])
    expect(err).toMatch(/error/)
    expect(err).not.toMatch(/^\s+at /m) // no stack trace
  })
})

describe('exit codes', () => {
  it.each([
    ['no alert', 'rules/single.yml empty.ndjson --fail-on-alert', 0],
    ['alerts', 'rules/single.yml events.ndjson', 0],
    ['alerts, and asked to fail', 'rules/single.yml events.ndjson --fail-on-alert', 1],
    ['bad lines', 'rules/single.yml bad.ndjson', 0],
    ['bad lines, and asked to fail at alerts', 'rules/single.yml --fail-on-alert bad.ndjson', 1],
    ['a broken rule', 'rules/single.yml broken events.ndjson', 2],
    ['a broken rule over alerts', 'rules/single.yml broken --fail-on-alert events.ndjson', 2],
    ['an unresolved placeholder', 'rules/single.yml rules/listed.yml events.ndjson', 2],
    ['strict over a broken rule and alerts', 'rules/single.yml broken --strict --fail-on-alert bad.ndjson', 3],
    ['strict without bad lines', 'rules/single.yml --strict events.ndjson', 0],
  ])('%s: %s → %i', async (_, args, expected) => {
    const outcome = await place.run(`replay --logsource any --rules ${args}`)
    expect(outcome.code).toBe(expected)
    // Whatever the code: what can run has run.
    if (!args.includes('empty')) expect(brief(alertsIn(outcome))).toContain('Single 1')
  })

  it('of the process', () => {
    expect(place.spawn('replay --logsource any --rules rules lists broken --fail-on-alert events.ndjson').code).toBe(2)
  })

  it('bad lines and broken rules are named on standard error', async () => {
    const { err } = await place.run('replay --logsource any --rules rules/single.yml broken bad.ndjson')
    expect(err).toMatch(/^bad\.ndjson:2 skipped JSON_INVALID: /m)
    expect(err).toMatch(/^bad\.ndjson:3 skipped JSON_NOT_OBJECT: /m)
    expect(err).toMatch(/^broken\/broken\.yml:5:19 error SIGMA-MODIFIER-UNKNOWN: .*\n {2}hint: .*contains/m)
  })
})

describe('alerts', () => {
  const counted = (second: number, more: object = {}) => ({
    '@timestamp': new Date(Date.UTC(2026, 2, 1, 10, 0, second)),
    k: 1,
    user: 'u',
    ...more,
  })

  it('one a line, with these keys and no others', async () => {
    expect(await replay('rules/single.yml', [{ '@timestamp': '2026-03-01T10:00:00Z', x: 1 }])).toEqual([
      {
        kind: 'alert',
        id: expect.stringMatching(/^[0-9a-f]{32}$/),
        rule: { id: '00000000-0000-4000-8000-000000000001', name: 'single', title: 'Single', level: 'high' },
        time: '2026-03-01T10:00:00.000Z',
        group: {},
        lines: [1],
        late: false,
      },
    ])
  })

  it('by time and id; those without a time first', async () => {
    const alerts = alertsIn(await place.run('replay --logsource any --rules rules lists events.ndjson'))
    expect(alerts.map(({ time }) => time?.slice(17, 19))).toEqual([undefined, '01', '01', '02'])
    expect(alerts[1]!.id < alerts[2]!.id).toBe(true)
    const stamp = { event: { ingested: '2026-03-01T11:00:00Z' } }
    const stamped = await replay('rules/single.yml', [
      { '@timestamp': '2026-03-01T10:00:00Z', x: 1, ...stamp },
      { x: 1, ...stamp },
    ])
    expect(stamped.map(({ time }) => time)).toEqual([null, '2026-03-01T10:00:00.000Z'])
  })

  it('the lines of a correlation, its group, and the time at which it came true', async () => {
    const events = [counted(3), '', counted(1), { k: 1, user: 'u' }, counted(2, { user: 'v' }), counted(2)]
    const told = {
      rule: { title: 'Three', name: null },
      lines: [1, 3, 6],
      group: { user: 'u' },
      time: '2026-03-01T10:00:03.000Z',
      late: false,
    }
    expect(await replay('rules/deeper', events)).toMatchObject([told])
  })

  it('a duplicate counts once, by its first line', async () => {
    const copy = (id: string) => counted(0, { event: { id } })
    expect(await replay('rules/deeper', [copy('1'), copy('1'), copy('2')])).toEqual([])
    expect(brief(await replay('rules/deeper', [copy('1'), copy('1'), copy('2'), copy('3')]))).toEqual(['Three 1,3,4'])
    const single = { '@timestamp': '2026-03-01T10:00:00Z', x: 1, event: { id: 'a' } }
    expect(brief(await replay('rules/single.yml', [single, single]))).toEqual(['Single 1'])
  })

  it('the same ids whatever the order of the file', async () => {
    const events = Array.from({ length: 40 }, (_, at) => counted(at % 23, { user: `u${at % 3}`, n: at % 5 }))
    const ids = async (order: readonly object[]) => (await replay('rules/deeper', order)).map(({ id, time }) => `${time} ${id}`)
    const expected = await ids(events)
    expect(expected.length).toBeGreaterThan(0)
    expect(await ids(events.toReversed())).toEqual(expected)
    expect(await ids(events.map((_, at) => events[(at * 7) % 40]!))).toEqual(expected)
  })

  it('late: ingested more than grace after it happened, where every record says when', async () => {
    const late = [0, 1, 2].map((second) => counted(second, { event: { ingested: '2026-03-01T10:20:00Z' } }))
    expect((await replay('rules/deeper', late)).map((alert) => alert.late)).toEqual([true])
    expect((await replay('rules/deeper', [...late, { y: 1 }])).map((alert) => alert.late)).toEqual([false])
  })

  it('whole numbers with every digit', async () => {
    const event = '{"@timestamp":"2026-03-01T10:00:00Z","k":1,"user":9007199254740993}'
    expect((await replay('rules/deeper', [event, event, event])).map(({ group }) => group)).toEqual([{ user: '9007199254740993' }])
  })

  it('only where the log source is the rule’s, unless any will do', async () => {
    const event = (logsource: object) => ({ '@timestamp': '2026-03-01T10:00:00Z', x: 1, logsource })
    expect(brief(await replay('rules/single.yml', [event({ category: 'test' }), event({ category: 'other' })], ''))).toEqual(['Single 1'])
  })
})

describe('lines', () => {
  it.each([
    ['without a line break at the end', '{"x":1}\n{"x":1}', [1, 2]],
    ['CRLF', '{"x":1}\r\n{"x":1}\r\n', [1, 2]],
    ['a byte order mark', '\ufeff{"x":1}\n{"x":1}\n', [1, 2]],
    ['empty lines, which count', '\n\n{"x":1}\n  \n{"x":1}\n', [3, 5]],
    ['an array on a line', '{"y":1}\n[{"x":1},{"x":1}]\n{"x":1}', [2, 2, 3]],
    ['one document over several lines', '{"x":1}\n{\n  "x": 1\n}\n{"x":1}', [1, 2, 5]],
  ])('%s', async (_, text, lines) => {
    const alerts = await replay('rules/single.yml', [text], '--logsource any --strict')
    expect(alerts.flatMap((alert) => alert.lines).sort()).toEqual(lines)
  })

  it('of a kernel audit event, the first', async () => {
    const read = FILES['rules/single.yml'].replace('category: test', 'product: linux').replace('x: 1', 'file.path: /etc/shadow')
    const stamp = (serial: number) => `msg=audit(1772359200.${serial}:${serial}):`
    const open = (serial: number) =>
      `type=SYSCALL ${stamp(serial)} arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7f a2=0 a3=0 items=1 ppid=1 pid=2 uid=0 comm="cat" exe="/usr/bin/cat" key=(null)`
    const path = (serial: number, name: string) =>
      `type=PATH ${stamp(serial)} item=0 name="${name}" inode=1 dev=fd:00 mode=0100600 nametype=NORMAL`
    // Of two interleaved events the second is complete first.
    const lines = [open(100), open(101), path(101, '/etc/shadow'), path(100, '/etc/motd'), 'no audit line']
    place.write('audit.log', lines.join('\n'))
    const outcome = await place.run(`replay --rules ${place.write('read.yml', read)} --source linux.auditd audit.log`)
    expect(alertsIn(outcome).map((alert) => alert.lines)).toEqual([[2]])
    expect(outcome.err).toContain('audit.log:5 skipped AUDIT_LINE_INVALID')
    const { out } = await place.run('normalise --source linux.auditd audit.log')
    expect(out.map((line) => JSON.parse(line)).map(({ line, event }) => [line, event.file.path])).toEqual([
      [1, '/etc/motd'],
      [2, '/etc/shadow'],
    ])
  })

  it('of an OTLP request, for each of its records', async () => {
    const prompt = FILES['rules/single.yml'].replace('x: 1', 'event.name: claude_code.user_prompt')
    const requests = [
      otlp('claude_code.user_prompt', 'claude_code.user_prompt', 'claude_code.api_request'),
      otlp('claude_code.user_prompt'),
    ]
    expect((await replay(place.write('prompt.yml', prompt), requests)).map((alert) => alert.lines).sort()).toEqual([[1], [1], [2]])
    const { out } = await place.run('normalise --source agent.claude_cowork given.ndjson')
    expect(out.map((line) => (JSON.parse(line) as { line: number }).line)).toEqual([1, 1, 1, 2])
  })
})

describe('why not', () => {
  const answers = async (more: string, events: readonly string[]) => {
    const file = place.write('given.ndjson', events.join('\n'))
    const { out } = await place.run(`replay --rules rules/single.yml --why-not single ${more} ${file}`)
    return out.map((line) => JSON.parse(line)).filter(({ kind }) => kind === 'why-not')
  }

  it('the first condition that failed, with what the event has instead', async () => {
    const events = ['{"x":1}', '{"x":9007199254740993}', '{"y":1}']
    expect((await answers('--logsource any', events)).map(({ line, matched, value }) => [line, matched, value])).toEqual([
      [1, true, undefined],
      [2, false, '9007199254740993'],
      [3, false, null],
    ])
  })

  it('the log source, unless any will do', async () => {
    expect(await answers('', ['{"x":1}'])).toMatchObject([{ matched: false, selection: 'logsource' }])
    expect(await answers('--logsource any', ['{"x":1}'])).toMatchObject([{ matched: true }])
  })

  describe('a group for which there was no place', () => {
    const crowded = (name: string, correlation: string, more = '') => `---
title: The ${name}
id: ${name}
name: ${name}
correlation: {${correlation}, group-by: [user.name, host.name]}
x-cordon: {groups: 2, time: {grace: 70s}${more}}
`
    const rules = () =>
      place.write(
        'crowded.yml',
        `${FILES['rules/single.yml']}
${crowded('pairs', 'type: event_count, rules: [single], timespan: 10s, condition: {gte: 2}')}
${crowded('news', 'type: value_count, rules: [single], timespan: 80s, condition: {field: file.name, gte: 2}', ', first_seen: {learn: 1s}')}
---
title: Chained
id: chained
correlation: {type: event_count, rules: [pairs], group-by: [user.name], timespan: 10s, condition: {gte: 1}}
`,
      )
    const event = (second: number, user: string) =>
      JSON.stringify({
        '@timestamp': new Date(second * 1_000).toISOString(),
        x: 1,
        user: { name: user },
        host: { name: 'h' },
        file: { name: 'f' },
      })
    // The others have come when it is known that there is no place for more.
    const file = () =>
      place.write(
        'crowd.ndjson',
        [event(1, 'ann'), event(2, 'bob'), event(20, 'mallory'), event(21, 'ann'), event(30, 'mallory')].join('\n'),
      )

    it.each([
      ['pairs', 'pairs'],
      ['news', 'news'],
      ['chained', 'pairs'],
    ])('of %s: each event of one, by its line', async (asked, full) => {
      const { out } = await place.run(`replay --logsource any --rules ${rules()} --why-not ${asked} ${file()}`)
      const said = out.map((line) => JSON.parse(line)).filter(({ kind }) => kind === 'why-not')
      expect(said.filter(({ matched }) => matched)).toHaveLength(5)
      expect(said.filter(({ matched }) => !matched)).toEqual(
        [3, 5].map((line) => ({
          kind: 'why-not',
          line,
          rule: { id: full, title: `The ${full}` },
          matched: false,
          selection: 'groups',
          test: 'no place for a further group: the rule takes 2 (x-cordon: groups)',
          value: 'user.name=mallory host.name=h',
        })),
      )
    })

    it('in words; and nothing of a rule that was not asked for', async () => {
      const text = (asked: string) =>
        place.run(`replay --format text --logsource any --rules ${rules()} --why-not ${asked} ${file()}`).then(({ out }) => out.join('\n'))
      expect(await text('pairs')).toContain(
        'line 3: The pairs: groups failed: no place for a further group: the rule takes 2 (x-cordon: groups)  (the event has "user.name=mallory host.name=h")',
      )
      expect(await text('single')).not.toContain('groups failed')
    })
  })
})

describe('text for people', () => {
  it('makes no time up', async () => {
    const { out } = await place.run('replay --logsource any --rules rules/single.yml --format text events.ndjson')
    expect(out[0]).toBe('no time high Single')
    expect(out.join('\n')).not.toContain('1970')
  })
})

function otlp(...names: string[]): object {
  const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } })
  const logRecords = names.map((name, at) => ({
    timeUnixNano: `${1_772_359_200_000_000_000n + BigInt(at)}`,
    body: { stringValue: name },
    attributes: [attribute('event.name', name), attribute('session.id', 's')],
  }))
  const scopeLogs = [{ scope: { name: 'com.anthropic.claude_code.events' }, logRecords }]
  return { resourceLogs: [{ resource: { attributes: [attribute('service.name', 'claude-code')] }, scopeLogs }] }
}

it('shows what an event brings along to begin a line or to steer the terminal, and styles by itself alone', () => {
  const rule = place.write('any/any.yml', 'title: Any\nlogsource: {category: any}\ndetection: {s: {message: "*"}, condition: s}\n')
  const replayed = (message: string) =>
    place.spawn(`replay --logsource any --format text --rules ${rule} -`, JSON.stringify({ message }), { FORCE_COLOR: '1' }).out
  const calm = replayed('calm')
  expect(calm[0]).toContain('\u001b[1m')
  for (const [hostile, shown] of [
    ['\u001b[1mbold\u001b[22m', String.raw`\u001b[1mbold\u001b[22m`],
    ['a\nline 2: well', String.raw`a\nline 2: well`],
    ['a\r\u001b[2K', String.raw`a\u000d\u001b[2K`],
    ['\u001b]0;title\u0007', String.raw`\u001b]0;title\u0007`],
    ['\u009b8m', String.raw`\u009b8m`],
    ['exe.\u202etxt\u2028', String.raw`exe.\u202etxt\u2028`],
  ] as const) {
    expect(replayed(hostile)).toEqual(calm.map((line) => line.replace('calm', () => shown)))
  }
})
