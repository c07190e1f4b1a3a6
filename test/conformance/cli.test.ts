import { afterAll, describe, expect, it } from 'vitest'
import { FILES, Workplace } from './commands.ts'

const place = new Workplace(FILES)
afterAll(() => place.remove())

describe('validate', () => {
  it.each([
    ['clean', 'validate rules lists', 0],
    ['errors', 'validate rules lists broken', 2],
    ['an unresolved placeholder', 'validate rules', 2],
    ['nothing there', 'validate nowhere', 3],
    ['no path', 'validate', 3],
  ])('%s: %s → %i', async (_, args, code) => {
    expect((await place.run(args)).code).toBe(code)
  })

  it('one problem a line on standard output, and its hint below it', () => {
    const { code, out } = place.spawn('validate broken')
    expect([code, out.length]).toEqual([2, 2])
    expect(out[0]).toBe('broken/broken.yml:5:19 error SIGMA-MODIFIER-UNKNOWN: there is no modifier "cotains"')
    expect(out[1]).toMatch(/^ {2}hint: .*contains/)
  })

  it('warnings are no errors', async () => {
    place.write('warned.yml', 'title: Warned\nlogsource: {category: test}\ndetection: {s: {x: 1}, condition: s}\n')
    const { code, out } = await place.run('validate warned.yml')
    expect(code).toBe(0)
    for (const line of out) expect(line).toMatch(/^(warned\.yml:\d+:\d+ warning [A-Z-]+: .| {2}hint: .)/)
  })
})

describe('test', () => {
  const withTest = (alerts: number) => `${FILES['rules/single.yml']}x-cordon:
    tests:
        - name: x is 1
          events: [{'@timestamp': 2026-03-01T10:00:00Z, x: 1}]
          expect: {alerts: ${alerts}}
`
  it.each([
    ['all pass', 1, '', 0],
    ['one fails', 2, '', 1],
    ['one fails and a rule does not load', 2, ' broken', 2],
  ])('%s', async (_, alerts, more, expected) => {
    const { code, out } = await place.run(`test ${place.write('tested.yml', withTest(alerts))}${more}`)
    expect([code, out[0]]).toEqual([expected, `${alerts === 1 ? 'ok' : 'FAILED'} Single: x is 1`])
    if (alerts === 2) expect(out[1]).toMatch(/^ {2}tested\.yml:\d+:\d+ .*\b2\b/)
  })

  it.each(['test nowhere', 'test'])('%s: exit 3', async (args) => {
    expect((await place.run(args)).code).toBe(3)
  })
})

describe('normalise', () => {
  it('refuses a source that nobody knows, naming those that there are', async () => {
    const { code, out, err } = await place.run('normalise --source nowhere events.ndjson')
    expect([code, out]).toEqual([3, []])
    expect(err).toMatch(/agent\.claude_cowork, agent\.codex, agent\.gemini_cli, .*linux\.auditd, .*ecs\.passthrough/)
  })

  it('skips what cannot be read, saying where', async () => {
    const { code, out, err } = await place.run('normalise --source ecs.passthrough bad.ndjson')
    expect([code, out.map((line) => (JSON.parse(line) as { line: number }).line)]).toEqual([0, [1]])
    expect(err).toMatch(/bad\.ndjson:2 skipped JSON_INVALID/)
    expect((await place.run('normalise --source ecs.passthrough --strict bad.ndjson')).code).toBe(3)
  })

  it('prints what a node would keep, and the rest only to whoever asks for it', async () => {
    const lines = ['{"message":"card 4111 1111 1111 1111, STF-123456"}', '["password=hunter22!"']
    const file = place.write('secret.ndjson', lines.join('\n'))
    place.write('own.yml', "{privacy: {except: [card], patterns: [{kind: staff, class: pii, pattern: 'STF-[0-9]+'}]}}")
    const printed = async (options: string) => {
      const { out, err } = await place.run(`normalise --source ecs.passthrough ${options} ${file}`)
      return { message: (JSON.parse(out[0]!) as { event: { message: string } }).event.message, err }
    }
    const kept = await printed('')
    expect(kept.message).toBe('card [REDACTED:card], STF-123456')
    expect(kept.err).not.toMatch(/hunter22|warning/)
    expect((await printed('--config own.yml')).message).toBe('card 4111 1111 1111 1111, [REDACTED:staff]')
    const asked = await printed('--unredacted')
    expect(asked.message).toBe('card 4111 1111 1111 1111, STF-123456')
    expect(asked.err).toMatch(/^warning: .* not redacted/)
  })

  it('prints every digit, and reads standard input', () => {
    const { code, out } = place.spawn('normalise --source ecs.passthrough -', '{"n":9007199254740993}')
    expect([code, out]).toEqual([0, [expect.stringContaining('"n":9007199254740993')]])
  })
})

describe('the command itself', () => {
  const groups = ['alerts', 'alerts list', 'alerts show', 'incidents', 'incidents list', 'incidents show', 'actions', 'actions list']
  const orders = ['actions show', 'actions undo', 'actions stop', 'actions start', 'policy', 'policy grant', 'policy egress']
  it.each(['', 'run', 'init', 'validate', 'test', 'replay', 'normalise', 'classify', 'doctor', ...groups, ...orders])(
    '%s --help',
    async (command) => {
      const { code, out } = await place.run(`${command} --help`)
      expect([code, out[0]]).toEqual([0, expect.stringMatching(/^Usage: cordon/)])
    },
  )

  it.each([
    'wat',
    '--wat',
    '',
    'actions wat',
    'alerts list --wat',
    'actions undo',
    'run',
    'alerts list',
    'actions stop --reason test',
    'policy grant x',
  ])('%s: exit 3, and nothing on standard output', async (args) => {
    const { code, out, err } = await place.run(args)
    expect([code, out]).toEqual([3, []])
    expect(err).not.toBe('')
  })

  it('tells a process the same', () => {
    expect(place.spawn('--help')).toMatchObject({ code: 0, err: '' })
    expect(place.spawn('run')).toMatchObject({ code: 3, out: [], err: expect.stringContaining('cordon init') })
  })
})
