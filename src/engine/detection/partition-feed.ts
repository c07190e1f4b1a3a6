import type { DetectorUnit } from '../../detectors/detector.ts'
import type { Feed, Gap, LiveBundle } from '../../detectors/signal.ts'
import type { EventRecord } from '../../event/event.ts'
import type { LogEntry } from '../../streams/log.ts'

/** How long a node that has not said goodbye may be quiet: it ticks each second. Milliseconds of stamps. */
const SILENCE = 5_000
/** What gaps and bundles are kept for at the least: the default grace, for rules that a partition's first event may bring. Milliseconds. */
export const LEAST_REACH = 900_000
/** Reaches for which a gap that has ended is kept. */
const REACHES_KEPT = 3

/** How far the correlations of a bundle look at the most, as `DetectorUnit` has it. Milliseconds. */
export type BundleReach = Pick<DetectorUnit, 'sight' | 'reach'>

interface NodeState {
  heard: number
  /** Since when its ticks say that it is paused. */
  pausedSince: number | undefined
}

/**
 * What a partition of the events log says of how it was fed (docs/design.md section 5, "Progress"): the highest stamp, the ingest nodes
 * that tick, when one of them was paused or silent, and the bundles that events name. A pure function of the entries up to a place,
 * so that it is the same however often, and in whatever batches, they are read: what may be forgotten is forgotten at an entry, too.
 *
 * A gap that has ended is kept for three times the furthest reach of the rules that are live. An anchor closes one G after its
 * ingestion, and what it depends on goes back by its reach; who rebuilds state from the log alone begins 2G back, and must find the
 * gaps from before in the first progress record that he reads.
 */
export class PartitionFeed {
  private readonly reachOf: (bundle: string) => BundleReach
  private readonly nodes = new Map<string, NodeState>()
  /** In the order of their ends. */
  private readonly ended: Gap[] = []
  private readonly live: (BundleReach & { readonly id: string; readonly since: number; last: number })[]
  /** How long ended gaps are kept: changes with `live` only. */
  private keep = 0
  private stamp: number

  /** @param reachOf asked for bundles that events name, at the time when they do */
  constructor(reachOf: (bundle: string) => BundleReach, ingested = 0, { gaps, nodes, bundles }: Feed = NOTHING) {
    this.reachOf = reachOf
    this.stamp = ingested
    for (const { node, heard } of nodes) {
      const open = gaps.find((gap) => gap.node === node && gap.why === 'paused' && gap.to === null)
      this.nodes.set(node, { heard, pausedSince: open?.from })
    }
    this.ended.push(...gaps.filter(({ to }) => to !== null).sort((a, b) => a.to! - b.to!))
    this.live = bundles.map((bundle) => ({ ...bundle, ...reachOf(bundle.id) }))
    this.measure()
  }

  /** The highest stamp so far: what was ingested last. */
  get ingested(): number {
    return this.stamp
  }

  /** Those that events name, in the order in which they came. */
  get bundles(): readonly LiveBundle[] {
    return this.live
  }

  /** Takes the next entry. True: the bundles are others now, or in another order. */
  take({ appended, value }: Pick<LogEntry<EventRecord>, 'appended' | 'value'>): boolean {
    this.stamp = Math.max(this.stamp, appended)
    const named = value.kind === 'event' ? this.name(value.bundle) : this.hear(value)
    const changed = this.forgetBundles() || named
    if (changed) this.measure()
    while (this.ended.length > 0 && this.ended[0]!.to! < this.stamp - this.keep) this.ended.shift()
    return changed
  }

  get feed(): Feed {
    const open = [...this.nodes].flatMap(([node, { heard, pausedSince }]): Gap[] => [
      ...(pausedSince === undefined ? [] : [{ node, why: 'paused' as const, from: pausedSince, to: null }]),
      ...(this.stamp > heard + SILENCE ? [{ node, why: 'silent' as const, from: heard + SILENCE, to: null }] : []),
    ])
    return {
      gaps: [...this.ended, ...open].sort(
        (a, b) => a.from - b.from || (a.node < b.node ? -1 : a.node > b.node ? 1 : a.why < b.why ? -1 : 1),
      ),
      nodes: [...this.nodes].map(([node, { heard, pausedSince }]) => ({ node, heard, paused: pausedSince !== undefined })),
      bundles: this.live.map(({ id, since, last }) => ({ id, since, last })),
    }
  }

  private hear({ node, paused, leaving }: Extract<EventRecord, { kind: 'tick' }>): false {
    const { stamp } = this
    const known = this.nodes.get(node)
    if (known !== undefined && stamp > known.heard + SILENCE)
      this.ended.push({ node, why: 'silent', from: known.heard + SILENCE, to: stamp })
    const isPaused = paused && leaving !== true
    if (known?.pausedSince !== undefined && !isPaused) this.ended.push({ node, why: 'paused', from: known.pausedSince, to: stamp })
    if (leaving === true) this.nodes.delete(node)
    else this.nodes.set(node, { heard: stamp, pausedSince: isPaused ? (known?.pausedSince ?? stamp) : undefined })
    return false
  }

  private name(id: string): boolean {
    const at = this.live.findIndex((bundle) => bundle.id === id)
    if (at < 0) this.live.push({ id, since: this.stamp, last: this.stamp, ...this.reachOf(id) })
    else this.live[at]!.last = this.stamp
    return at < 0
  }

  /** The oldest is forgotten when neither its own events nor those that its correlations still take can come any more. */
  private forgetBundles(): boolean {
    const before = this.live.length
    for (let [oldest, next] = this.live; oldest !== undefined && next !== undefined; [oldest, next] = this.live) {
      if (this.stamp <= Math.max(oldest.last, next.since) + oldest.sight) break
      this.live.shift()
    }
    return this.live.length < before
  }

  private measure(): void {
    this.keep = REACHES_KEPT * Math.max(LEAST_REACH, ...this.live.map(({ reach }) => reach))
  }
}

const NOTHING: Feed = { gaps: [], nodes: [], bundles: [] }
