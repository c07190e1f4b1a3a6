import type { AlertRevision } from '../../src/detectors/alert.ts'
import { canonicalJson } from '../../src/event/json.ts'
import { Elasticsearch } from '../../src/stores/elasticsearch/client.ts'
import { search } from '../../src/stores/elasticsearch/search.ts'
import type { LogEntry, Streams } from '../../src/streams/log.ts'

/** What a run has come to. */
export interface Outcome {
  /** The alert set: the newest revision of each that stands, by its id. */
  readonly alerts: ReadonlyMap<string, AlertRevision>
  readonly revisions: number
  /** Revisions that stand in the log with two contents. */
  readonly contradictions: readonly string[]
}

/** Folds the alerts log as its readers do: by id, the highest revision last, without those that were withdrawn. */
export function outcomeOf(streams: Streams): Promise<Outcome> {
  return fold(revisionsIn(streams))
}

/** Folds what an Elasticsearch has of the alerts, in the same way. */
export async function keptOutcome(url: string, prefix: string): Promise<Outcome> {
  const elasticsearch = new Elasticsearch({ urls: [url], prefix, compression: false })
  try {
    const index = `${prefix}alerts-*`
    await elasticsearch.request('refreshing', (client, options) => client.indices.refresh({ index }, options))
    return await fold(revisionsOf(elasticsearch, index))
  } finally {
    await elasticsearch.close()
  }
}

async function fold(revisions: AsyncIterable<AlertRevision>): Promise<Outcome> {
  const newest = new Map<string, AlertRevision>()
  const contents = new Map<string, string>()
  const contradictions: string[] = []
  for await (const revision of revisions) {
    const name = `${revision.id}.${revision.rev}`
    const content = canonicalJson(revision)
    if (contents.has(name) && contents.get(name) !== content) contradictions.push(`two contents: ${name}`)
    contents.set(name, content)
    if ((newest.get(revision.id)?.rev ?? -1) < revision.rev) newest.set(revision.id, revision)
  }
  const standing = [...newest].filter(([, { state }]) => state === 'open')
  return { alerts: new Map(standing), revisions: contents.size, contradictions }
}

async function* revisionsOf(elasticsearch: Elasticsearch, index: string): AsyncGenerator<AlertRevision> {
  for await (const page of search(elasticsearch, { index, query: { match_all: {} }, time: '@timestamp', contents: true }))
    for (const { source } of page) yield source.document as unknown as AlertRevision
}

async function* revisionsIn(streams: Streams): AsyncGenerator<AlertRevision> {
  for (let partition = 0; partition < streams.partitions('alerts'); partition++)
    for await (const { value } of entriesOf<AlertRevision>(streams, partition)) yield value
}

async function* entriesOf<T>(streams: Streams, partition: number): AsyncGenerator<LogEntry<T>> {
  for (let from = 0; ; ) {
    const entries = await streams.read<T>('alerts', partition, from, 1_000)
    if (entries.length === 0) return
    yield* entries
    from = entries.at(-1)!.offset + 1
  }
}

/** An alert as runs are compared by it. */
export type Telling = (alert: AlertRevision) => string

/**
 * For runs over the same record: all of it, but for what tells how a run went and not what it found. That is the number of the
 * revision, the place of its cause in the signals log, and which alerts it took the place of, since these may never have been told in
 * another run.
 */
export const whole: Telling = ({ rev, supersedes, ...alert }) => canonicalJson(alert)

/**
 * For runs over the same events that came otherwise: without when and where they were taken in. Evidence of one instant stands in the
 * order of the log, so here it is put into another.
 */
export const withoutArrival: Telling = ({ rev, supersedes, partition, evidence, ...alert }) => {
  const items = evidence.map(({ ingested, line, ...item }) => item)
  return canonicalJson({ ...alert, evidence: items.sort((a, b) => a.time! - b.time! || (a.eventId < b.eventId ? -1 : 1)) })
}

/** What a run has lost, made up or told otherwise, and contradicted itself in, for people: empty where it is as it should be. */
export function difference(expected: Outcome, found: Outcome, telling: Telling): string[] {
  const lost = [...expected.alerts].filter(([id]) => !found.alerts.has(id))
  const madeUp = [...found.alerts].filter(([id]) => !expected.alerts.has(id))
  const both = [...expected.alerts].flatMap(([id, alert]) => {
    const other = found.alerts.get(id)
    return other === undefined ? [] : [[telling(alert), telling(other)] as const]
  })
  return [
    ...lost.map(([, alert]) => `lost: ${telling(alert)}`),
    ...madeUp.map(([, alert]) => `made up: ${telling(alert)}`),
    ...both.filter(([one, other]) => one !== other).map(([one, other]) => `should be: ${one}\n  but is: ${other}`),
    ...found.contradictions,
  ]
}

/** Alerts that were under way at a moment: something of their evidence had been taken in, and something was still to come. */
export function underWay({ alerts }: Outcome, stamp: number): number {
  return [...alerts.values()].filter(
    ({ evidence }) => evidence.some(({ ingested }) => ingested <= stamp) && evidence.some(({ ingested }) => ingested > stamp),
  ).length
}
