import type { Progress, SignalRecord } from '../../detectors/signal.ts'
import { CordonError } from '../../event/error.ts'
import type { EventRecord } from '../../event/event.ts'
import type { Streams } from '../../streams/log.ts'
import type { Config } from '../config.ts'
import { withStreams } from '../streams.ts'

/** Ingest nodes tick each second. Milliseconds. */
const STALE = 30_000

/** An ingest node, as match heard of it last. */
export interface IngestNode {
  readonly node: string
  /** Stamp of its last tick. Milliseconds. */
  readonly heard: number
  readonly state: 'alive' | 'paused' | 'silent'
}

/**
 * The ingest nodes that have not said goodbye, by name, as the newest progress records tell.
 *
 * @throws CordonError as `withStreams`
 */
export function ingestNodes(config: Config): Promise<readonly IngestNode[]> {
  return withStreams(config, { append: false }, nodesOf)
}

/**
 * Says goodbye for an ingest node that is gone for good, so that nothing waits for it any more. One that runs is heard again with its
 * next tick.
 *
 * @throws CordonError `NODE_UNKNOWN`, and as `withStreams`
 */
export function retireNode(config: Config, node: string): Promise<void> {
  return withStreams(config, { append: true }, async (streams) => {
    const known = await nodesOf(streams)
    if (!known.some((each) => each.node === node)) {
      throw new CordonError('NODE_UNKNOWN', `no ingest node called "${node}" is waited for`, {
        hint: '"cordon nodes list" shows those that are',
      })
    }
    const goodbye: EventRecord = { kind: 'tick', node, paused: false, leaving: true }
    await streams.append(
      'events',
      Array.from({ length: streams.partitions('events') }, (_, partition) => ({ key: '', partition, value: goodbye })),
    )
  })
}

/** Of each node what the partition says that heard it last. */
export async function nodesOf(streams: Streams): Promise<readonly IngestNode[]> {
  const nodes = new Map<string, IngestNode>()
  for (let partition = 0; partition < streams.partitions('events'); partition++) {
    const { feed, ingested } = (await newestProgress(streams, partition)) ?? NOTHING
    // Where nobody ticks any more, stamps do not tell of the silence.
    const stale = Date.now() - ingested > STALE
    for (const { node, heard, paused } of feed?.nodes ?? []) {
      if ((nodes.get(node)?.heard ?? 0) >= heard) continue
      const silent = stale || feed!.gaps.some((gap) => gap.node === node && gap.why === 'silent' && gap.to === null)
      nodes.set(node, { node, heard, state: silent ? 'silent' : paused ? 'paused' : 'alive' })
    }
  }
  return [...nodes.values()].sort((a, b) => (a.node < b.node ? -1 : 1))
}

const NOTHING: Pick<Progress, 'ingested' | 'feed'> = { ingested: 0 }

/** How far match has come in a partition of the events log. Every partition of the signals log has it. */
export async function newestProgress(streams: Streams, partition: number): Promise<Progress | undefined> {
  const isOurs = (value: SignalRecord) => value.kind === 'progress' && value.depth === 0 && value.partition === partition
  return (await streams.last<SignalRecord>('signals', 0, isOurs))?.value as Progress | undefined
}
