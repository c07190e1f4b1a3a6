import type { AlertRevision } from '../../src/detectors/alert.ts'
import { canonicalJson } from '../../src/event/json.ts'
import type { LogEntry, Streams } from '../../src/streams/log.ts'

/** The alert set that a run ends with, alert id → what it says; and what a run must never do. */
export interface Outcome {
  readonly alerts: ReadonlyMap<string, string>
  readonly revisions: number
  /** `id.rev` of revisions that stand in the log with two contents. */
  readonly contradictions: readonly string[]
}

/**
 * Folds the alerts log as its readers do: by id, the highest revision last, without those that were withdrawn.
 *
 * Left out of the comparison is what tells how a run went and not what it found: the number of the revision, which is the place of
 * its cause in the signals log, and which alerts an alert took the place of, since these may never have been told in another run.
 */
export async function outcomeOf(streams: Streams): Promise<Outcome> {
  const newest = new Map<string, AlertRevision>()
  const contents = new Map<string, string>()
  const contradictions: string[] = []
  for (let partition = 0; partition < streams.partitions('alerts'); partition++) {
    for await (const { value } of entriesOf<AlertRevision>(streams, partition)) {
      const name = `${value.id}.${value.rev}`
      const content = canonicalJson(value)
      if (contents.has(name) && contents.get(name) !== content) contradictions.push(name)
      contents.set(name, content)
      if ((newest.get(value.id)?.rev ?? -1) < value.rev) newest.set(value.id, value)
    }
  }
  const open = [...newest.values()].filter(({ state }) => state === 'open')
  return { alerts: new Map(open.map((alert) => [alert.id, tellingOf(alert)])), revisions: contents.size, contradictions }
}

function tellingOf({ rev, supersedes, ...alert }: AlertRevision): string {
  return canonicalJson(alert)
}

async function* entriesOf<T>(streams: Streams, partition: number): AsyncGenerator<LogEntry<T>> {
  for (let from = 0; ; ) {
    const entries = await streams.read<T>('alerts', partition, from, 1_000)
    if (entries.length === 0) return
    yield* entries
    from = entries.at(-1)!.offset + 1
  }
}

/** What differs between two alert sets, for people: empty where they are equal. */
export function difference(expected: ReadonlyMap<string, string>, found: ReadonlyMap<string, string>): string[] {
  const said = (id: string, alert: string) => `${id} ${alert.slice(0, 1_000)}`
  return [
    ...[...expected].filter(([id]) => !found.has(id)).map(([id, alert]) => `lost: ${said(id, alert)}`),
    ...[...found].filter(([id]) => !expected.has(id)).map(([id, alert]) => `made up: ${said(id, alert)}`),
    ...[...expected]
      .filter(([id, alert]) => found.has(id) && found.get(id) !== alert)
      .map(([id, alert]) => `other: ${said(id, alert)}\n   now: ${said(id, found.get(id)!)}`),
  ]
}
