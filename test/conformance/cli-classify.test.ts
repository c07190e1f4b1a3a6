import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Classification } from '../../src/engine/offline/classify.ts'
import { NORMALISERS } from '../../src/normalise/index.ts'
import { Workplace } from './commands.ts'

const ROOT = join(import.meta.dirname, '../..')
const place = new Workplace()
afterAll(() => place.remove())

async function classify(text: string): Promise<Classification & { readonly code: number | null }> {
  const { code, out } = await place.run(`classify --json ${place.write('sample', text)}`)
  return { code, ...(JSON.parse(out.join('\n')) as Classification) }
}

/** The example of a source's guide, which the normaliser kit holds to be readable. */
function exampleOf(source: string): string {
  const guide = readFileSync(join(ROOT, `docs/guides/sources/${source}.md`), 'utf8')
  return /```\w+ events\n([\s\S]*?)```/.exec(guide)![1]!
}

const ECS = '{"@timestamp":"2026-03-01T10:00:00Z","event":{"category":["file"],"action":"open"},"host":{"name":"web-1"}}\n'

describe('classify', () => {
  it.each(NORMALISERS.map(({ name }) => name))('%s is told by the example of its guide', async (name) => {
    const { code, sources, unreadable, records } = await classify(exampleOf(name))
    expect(sources.map(({ source, share }) => [source, share])).toEqual([[name, 1]])
    expect([code, unreadable.records, sources[0]!.records]).toEqual([0, 0, records])
    expect(sources[0]!.fields['@timestamp']).toBe(sources[0]!.events)
    expect(sources[0]!.guide).toBe(`docs/guides/sources/${name}.md`)
  })

  it('takes a mixture of formats apart, each line once, and says what is left', async () => {
    const audit = exampleOf('linux.auditd')
    const lines = audit.trimEnd().split('\n').length
    const { code, sources, unreadable, records } = await classify(`${audit}not a record\n${ECS}${ECS}`)
    expect(sources.map(({ source, records: own }) => [source, own])).toEqual([
      ['linux.auditd', 2],
      ['ecs.passthrough', 2],
    ])
    expect(unreadable).toMatchObject({ records: 1, codes: { AUDIT_LINE_INVALID: 1 }, first: [{ line: lines + 1 }] })
    expect([code, records]).toEqual([1, 5])
    expect(sources[0]!.share).toBeCloseTo(2 / 5)
  })

  it('counts a record that reads and is not what it claims', async () => {
    const { code, unreadable } = await classify(`{"resourceLogs":7}\n${ECS}`)
    expect([code, unreadable.codes]).toEqual([1, { OTLP_INVALID: 1 }])
  })

  it('says what a source fills and lacks', async () => {
    const { sources } = await classify('{"event":{"category":["file"],"action":"open"},"file":{"path":"/a"}}\n')
    expect(sources[0]).toMatchObject({
      fields: { 'event.action': 1, 'file.path': 1 },
      logsources: { file_access: 1 },
      gaps: [expect.stringContaining('time'), expect.stringContaining('device')],
    })
    expect((await classify(ECS)).sources[0]!.gaps).toEqual([])
  })

  it('does not take JSON of nobody for ECS', async () => {
    const { code, unknown, sources } = await classify('{"a":1}\n{"b":2}\n')
    expect([code, unknown, sources[0]!.source]).toEqual([1, 2, 'ecs.passthrough'])
  })

  it('reads the beginning of a big file, and does not blame what it cut', async () => {
    const long = `${ECS.slice(0, -2)},"message":"${'x'.repeat(10_000)}"}\n`
    const { code, cut, bytes, unreadable, sources } = await classify(long.repeat(500))
    expect([code, cut, bytes, unreadable.records]).toEqual([0, true, 4 * 1024 * 1024, 0])
    expect(sources[0]!.records).toBe(Math.floor(bytes / long.length))
    const single = await classify(`{"a":"${'x'.repeat(5 * 1024 * 1024)}"}\n`)
    expect([single.code, single.records, single.cut]).toEqual([1, 0, true])
  })

  it('finds nothing in nothing, and refuses what is not there', async () => {
    expect(await classify('')).toMatchObject({ code: 1, records: 0, sources: [], cut: false })
    expect(await place.run('classify nowhere')).toMatchObject({ code: 3, out: [], err: expect.stringContaining('INPUT_UNREADABLE') })
  })

  it('tells people the same, and the next step', async () => {
    const { code, out } = await place.run(`classify ${place.write('sample', `${ECS}oops\n`)}`)
    expect(code).toBe(1)
    const text = out.join('\n')
    expect(text).toContain('2 records in 1 KB')
    expect(text).toContain('ecs.passthrough  ECS documents and any other JSON: 50 %, 1 record → 1 event')
    expect(text).toContain('cordon normalise --source ecs.passthrough sample')
    expect(text).toContain('line 2  JSON_INVALID: ')
  })
})
