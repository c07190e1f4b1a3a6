import type { Draft, LogSource } from '../../event/event.ts'
import { getPath } from '../../event/json.ts'
import { NORMALISERS } from '../../normalise/index.ts'
import {
  type BadRecord,
  type InputLine,
  type Normaliser,
  notNormalised,
  type RecordProblem,
  type VendorRecord,
} from '../../normalise/normaliser.ts'
import { readBeginning } from './input.ts'

/** Bytes of a sample that are looked at. */
export const SAMPLE_BYTES = 4 * 1024 * 1024
/** Problems that are told one by one. */
const TOLD_PROBLEMS = 20

/** The fields that rules, correlation and incidents rest on most (docs/reference/event.md). */
const KEY_FIELDS = [
  '@timestamp',
  'event.action',
  'event.outcome',
  'event.code',
  'host.name',
  'host.id',
  'device.id',
  'user.name',
  'user.email',
  'user.id',
  'source.ip',
  'destination.ip',
  'destination.domain',
  'destination.port',
  'process.executable',
  'process.pid',
  'process.command_line',
  'file.path',
  'dns.question.name',
  'tls.client.server_name',
  'url.original',
  'organization.id',
  'gen_ai.agent.name',
  'gen_ai.conversation.id',
  'gen_ai.tool.name',
  'mcp.server.name',
  'token.id',
] as const

/** What an event must have one of, for what it is about to be found; and what to do where none of a source's events has any. */
const NEEDED: readonly { readonly fields: readonly string[]; readonly lacking: string }[] = [
  { fields: ['@timestamp'], lacking: 'no event has a time: each takes that of its arrival, and a replay cannot correlate them' },
  {
    fields: ['device.id', 'host.id', 'host.name', 'source.ip'],
    lacking: 'no event names a device or an address: set sources[].device, or list who has it in the inventory',
  },
]

/** One source that the sample has records of. */
export interface SourceShare {
  readonly source: string
  readonly title: string
  readonly records: number
  /** Of all records, readable or not: 0 to 1. */
  readonly share: number
  readonly events: number
  /** How many events fill each key field; those that none fills are left out. */
  readonly fields: Readonly<Record<string, number>>
  /** The log sources that rules find the events by, with how many events carry each. */
  readonly logsources: Readonly<Record<string, number>>
  /** What its events lack that nothing later can make up for. */
  readonly gaps: readonly string[]
  readonly guide: string
}

export interface Classification {
  /** Bytes that were looked at. */
  readonly bytes: number
  /** The sample is longer than what was looked at. */
  readonly cut: boolean
  readonly records: number
  /** The source with most records first. */
  readonly sources: readonly SourceShare[]
  /** Records that read as JSON and are no known product's, nor ECS: taken as they are, so rules must name their own fields. */
  readonly unknown: number
  readonly unreadable: {
    readonly records: number
    readonly codes: Readonly<Record<string, number>>
    readonly first: readonly RecordProblem[]
  }
}

/**
 * Which sources a sample (`-`: standard input) has records of, judged by every framing and normaliser there is. Looks at its first
 * {@link SAMPLE_BYTES}.
 *
 * @throws CordonError `INPUT_UNREADABLE`
 */
export async function classifyFile(file: string): Promise<Classification> {
  const { lines, bytes, whole } = await readBeginning(file, SAMPLE_BYTES)
  return { bytes, cut: !whole, ...classify(lines, whole) }
}

/** @param whole the lines end where the input does, so a record that is still open is a broken one */
function classify(lines: readonly InputLine[], whole: boolean): Omit<Classification, 'bytes' | 'cut'> {
  const { records, bad } = readAny(lines, whole)
  const unreadable: RecordProblem[] = bad.map(problemOf)
  const tallies = new Map<Normaliser, Tally>()
  let unknown = 0
  for (const { record, normaliser } of records) {
    try {
      const drafts = normaliser.normalise(record.value)
      const tally = tallies.get(normaliser) ?? new Tally(normaliser)
      tallies.set(normaliser, tally)
      tally.add(drafts)
      if (normaliser === FALLBACK && !drafts.some(isEcs)) unknown++
    } catch (error) {
      unreadable.push(problemOf(notNormalised(record, error)))
    }
  }
  const total = records.length + bad.length
  const sources = [...tallies.values()].map((tally) => tally.share(total)).sort((a, b) => b.records - a.records)
  unreadable.sort((a, b) => a.line - b.line)
  return {
    records: total,
    sources,
    unknown,
    unreadable: {
      records: unreadable.length,
      codes: counted(unreadable.map(({ code }) => code)),
      first: unreadable.slice(0, TOLD_PROBLEMS),
    },
  }
}

/** The last normaliser takes whatever is JSON: that says nothing of where it is from. */
const FALLBACK = NORMALISERS.at(-1)!

interface Reading {
  readonly records: readonly { readonly record: VendorRecord; readonly normaliser: Normaliser }[]
  readonly bad: readonly BadRecord[]
}

/**
 * Reads the lines by the framing that makes most sense of them, and what that cannot read by the next, as long as one can
 * read something. What none can read keeps the reason of the first.
 */
function readAny(lines: readonly InputLine[], whole: boolean): Reading {
  const framings = new Set(NORMALISERS.map(({ framer }) => framer))
  const first = takeBest(framings, lines, whole)
  const records = [...first.records]
  let { bad } = first
  while (bad.length > 0 && framings.size > 0) {
    const left = linesOf(bad)
    const next = takeBest(
      framings,
      lines.filter(({ line }) => left.has(line)),
      whole,
    )
    if (next.records.length === 0) break
    records.push(...next.records)
    const refused = linesOf(next.bad)
    bad = bad.filter(({ line }) => refused.has(line))
  }
  return { records, bad }
}

/** The best of the readings that these framings give; its framing is not tried again. */
function takeBest(framings: Set<Normaliser['framer']>, lines: readonly InputLine[], whole: boolean): Reading {
  const readings = [...framings].map((framer) => ({ framer, ...readBy(framer, lines, whole) }))
  const { framer, ...best } = readings.reduce((first, other) => (isBetter(other, first) ? other : first))
  framings.delete(framer)
  return best
}

function readBy(framing: Normaliser['framer'], lines: readonly InputLine[], whole: boolean): Reading {
  const framer = framing()
  const cut = lines.flatMap((line) => framer.push(line, 0))
  // Of a sample that was cut, what is still open is no more than unfinished.
  const all = [...cut, ...(whole ? framer.flush() : [])]
  const records: Reading['records'][number][] = []
  const bad: BadRecord[] = []
  for (const record of all) {
    if ('reason' in record) bad.push(record)
    else records.push({ record, normaliser: NORMALISERS.find((normaliser) => normaliser.recognises(record.value)) ?? FALLBACK })
  }
  return { records, bad }
}

function isBetter(a: Reading, b: Reading): boolean {
  return known(a) > known(b) || (known(a) === known(b) && a.bad.length < b.bad.length)
}

/** How many records are some product's own. */
function known({ records }: Reading): number {
  return records.filter(({ normaliser }) => normaliser !== FALLBACK).length
}

/** What one source's records came to. */
class Tally {
  private readonly normaliser: Normaliser
  private records = 0
  private events = 0
  private readonly fields = new Map<string, number>()
  private readonly logsources = new Map<string, number>()

  constructor(normaliser: Normaliser) {
    this.normaliser = normaliser
  }

  add(drafts: readonly Draft[]): void {
    this.records++
    this.events += drafts.length
    for (const draft of drafts) {
      for (const name of KEY_FIELDS) if (getPath(draft.ecs, name) !== undefined) raise(this.fields, name)
      for (const tag of draft.logsource) raise(this.logsources, tagName(tag))
    }
  }

  share(total: number): SourceShare {
    const { name, title } = this.normaliser
    const filled = (fields: readonly string[]) => fields.some((field) => this.fields.has(field))
    return {
      source: name,
      title,
      records: this.records,
      share: this.records / total,
      events: this.events,
      fields: Object.fromEntries(KEY_FIELDS.flatMap((field) => (this.fields.has(field) ? [[field, this.fields.get(field)!]] : []))),
      logsources: Object.fromEntries([...this.logsources].sort(([, a], [, b]) => b - a)),
      gaps: this.events === 0 ? [] : NEEDED.filter(({ fields }) => !filled(fields)).map(({ lacking }) => lacking),
      guide: `docs/guides/sources/${name}.md`,
    }
  }
}

function linesOf(records: readonly BadRecord[]): ReadonlySet<number> {
  return new Set(records.map(({ line }) => line))
}

function problemOf({ line, code, reason }: BadRecord): RecordProblem {
  return { line, code, reason }
}

function tagName({ product, category, service }: LogSource): string {
  return [product, category, service].filter((part) => part !== undefined).join('/')
}

/** Whether a document says itself what kind of event it is, as ECS has it. */
function isEcs({ ecs }: Draft): boolean {
  return ['ecs.version', 'event.category', 'event.kind', 'event.action'].some((path) => getPath(ecs, path) !== undefined)
}

function counted(items: readonly string[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>()
  for (const item of items) raise(counts, item)
  return Object.fromEntries(counts)
}

function raise(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
