import type { DetectorUnit } from '../../detectors/detector.ts'
import type { Feed, Gap } from '../../detectors/signal.ts'
import type { Patience, Tenure } from '../../detectors/tenure.ts'
import type { EventRecord } from '../../event/event.ts'
import type { LogEntry } from '../../streams/log.ts'

/** How long a node that has not said goodbye may be quiet: it ticks each second. Milliseconds of stamps. */
const SILENCE = 5_000
/** What gaps and bundles are kept for at the least: the default grace, for rules that a partition's first event may bring. Milliseconds. */
export const LEAST_REACH = 900_000
/** Reaches for which a gap or a tenure that has ended is kept. */
const REACHES_KEPT = 3

/** How far the correlations of a bundle look at the most, as `DetectorUnit` has it, and its `patienceOf`. Milliseconds. */
export type BundleReach = Pick<DetectorUnit, 'sight' | 'reach'> & Patience

interface NodeState {
  heard: number
  /** Since when its ticks say that it is paused. */
  pausedSince: number | undefined
}

/**
 * What a partition of the events log says of how it was fed (docs/design.md section 5, "Progress"): the highest stamp, the ingest nodes
 * that tick, when one of them was paused or silent, and the tenures of the bundles that events name. A pure function of the entries
 * up to a place, so that it is the same however often, and in whatever batches, they are read: what may be forgotten is forgotten at an
 * entry, too.
 *
 * What has ended is kept for three times the furthest reach of the rules that are kept. An anchor closes one G after its
 * ingestion, and what it depends on goes back by its reach; who rebuilds state from the log alone begins 2G back, and must find the
 * gaps and tenures from before in the first progress record that he reads.
 */
export class PartitionFeed {
  private readonly reachOf: (bundle: string) => BundleReach
  private readonly nodes = new Map<string, NodeState>()
  /** In the order of their ends. */
  private readonly ended: Gap[] = []
  private tenures: KeptTenure[]
  /** The one that was named last. */
  private current: KeptTenure | undefined
  /** How long what has ended is kept: changes with the tenures only. */
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
    this.tenures = bundles.map(({ id, since, last, left }) => ({ id, since, last, left, ...reachOf(id) }))
    this.current = this.tenures.find(({ left }) => left === undefined)
    this.measure()
  }

  /** The highest stamp so far: what was ingested last. */
  get ingested(): number {
    return this.stamp
  }

  /** In the order in which they began. */
  get bundles(): readonly Tenure[] {
    return this.tenures.map(({ id, since, last, left }) => ({ id, since, last, ...(left === undefined ? {} : { left }) }))
  }

  /** Takes the next entry. True: a tenure has begun, or is not kept any more. */
  take({ appended, value }: Pick<LogEntry<EventRecord>, 'appended' | 'value'>): boolean {
    this.stamp = Math.max(this.stamp, appended)
    const named = value.kind === 'event' ? this.name(value.bundle) : this.hear(value)
    const changed = this.forgetTenures() || named
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
      bundles: this.bundles,
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
    const { stamp, current, tenures } = this
    const known = tenures.findLast((tenure) => tenure.id === id)
    const goesOn = known !== undefined && stamp <= Math.min(known.last + known.quiet, (known.left ?? stamp) + known.away)
    if (current !== undefined && !(goesOn && current === known)) current.left = stamp
    this.current = goesOn ? known : { id, since: stamp, last: stamp, left: undefined, ...this.reachOf(id) }
    Object.assign(this.current, { last: stamp, left: undefined })
    if (!goesOn) tenures.push(this.current)
    return !goesOn
  }

  private forgetTenures(): boolean {
    const { stamp, keep, tenures } = this
    const kept = tenures.filter(({ left, sight, quiet }) => left === undefined || stamp <= left + Math.max(sight, quiet) + keep)
    const fewer = kept.length < tenures.length
    if (fewer) this.tenures = kept
    return fewer
  }

  private measure(): void {
    this.keep = REACHES_KEPT * Math.max(LEAST_REACH, ...this.tenures.map(({ reach }) => reach))
  }
}

interface KeptTenure extends BundleReach {
  readonly id: string
  readonly since: number
  last: number
  left: number | undefined
}

const NOTHING: Feed = { gaps: [], nodes: [], bundles: [] }
