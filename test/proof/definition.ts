import type { Gap } from '../../src/detectors/signal.ts'
import type { Patience, Tenure } from '../../src/detectors/tenure.ts'
import type { Event, EventRecord } from '../../src/event/event.ts'
import { canonicalJson, getText } from '../../src/event/json.ts'
import type { CorrelationRule, DetectionRule, RuleSet } from '../../src/sigma/ast.ts'
import { loadRuleSet } from '../../src/sigma/load.ts'
import { expectedAlerts, foldedAlerts, type Hit, type SetAlert } from '../property/correlation-oracle.ts'
import { patienceFor, type Run, tenuresOfRuns, withNext } from '../property/tenures.ts'
import type { Outcome } from './outcome.ts'
import type { RecordedEntry } from './record.ts'
import type { ProofRules } from './rules.ts'

/** A node is missed so long after its last tick. Milliseconds. */
const SILENT = 5_000
/** Whose failed log-ins rules/tuning.yml takes out. */
const SCANNERS: ReadonlySet<string | undefined> = new Set(['device-1', 'device-8', 'device-15', 'device-22'])

type RulesOf = (bundle: string) => RuleSet

/**
 * What differs between the alert set of a run and the one that its recorded log means by the definitions, for people. One pass over
 * the record, all of it in memory, rules read off by eye: nothing of the engine decides here.
 */
export async function againstDefinition(record: AsyncIterable<RecordedEntry>, rules: ProofRules, { alerts }: Outcome): Promise<string[]> {
  const sets = new Map(Object.values(rules).map(({ id, files }) => [id, loadRuleSet(files)]))
  const rulesOf: RulesOf = (bundle) => sets.get(bundle)!
  const partitions: PartitionPass[] = []
  for await (const { partition, stamp, value } of record) {
    partitions[partition] ??= new PartitionPass(partition, rulesOf)
    partitions[partition].take(value, stamp)
  }
  const recorded = {
    rulesOf,
    hits: partitions.flatMap(({ hits }) => hits),
    gaps: partitions.flatMap((pass) => pass.gaps()),
    tenures: partitions.map(({ tenures }) => tenures),
  }
  const defined = byId(expectedAlerts(recorded))
  const found = byId(foldedAlerts([...alerts.values()], rulesOf))
  return [...new Set([...defined.keys(), ...found.keys()])].flatMap((id) =>
    defined.get(id) === found.get(id) ? [] : [`by the definition: ${defined.get(id) ?? 'none'}\n  but is: ${found.get(id) ?? 'none'}`],
  )
}

/** The rules that may alert and did not: what a proof does not speak of. */
export function unheard(rules: ProofRules, { alerts }: Outcome): string[] {
  const sets = Object.values(rules).map(({ files }) => loadRuleSet(files))
  const heard = new Set([...alerts.values()].map(({ rule }) => rule.id))
  const all = sets.flatMap(({ detections, correlations }) => [...detections, ...correlations])
  const silent = all.filter((rule) => rule.silent !== true && !heard.has(rule.id))
  return [...new Set(silent.map(({ title }) => `no alert of the rule "${title}"`))]
}

const byId = (alerts: readonly SetAlert[]) => new Map(alerts.map((alert) => [alert.id, canonicalJson(alert)]))

/** What a partition's entries are to the rules, and when a node was missed in it. */
class PartitionPass {
  readonly hits: Hit[] = []
  private readonly partition: number
  private readonly rulesOf: RulesOf
  private runs: readonly Run[] = []
  /** As of the beginning of the newest run. */
  private known: readonly Tenure[] = []
  private readonly ticks = new Map<string, { readonly stamp: number; readonly tick: Extract<EventRecord, { kind: 'tick' }> }[]>()
  private offset = 0

  constructor(partition: number, rulesOf: RulesOf) {
    this.partition = partition
    this.rulesOf = rulesOf
  }

  take(value: EventRecord, stamp: number): void {
    const offset = this.offset++
    if (value.kind === 'tick') {
      this.ticks.set(value.node, [...(this.ticks.get(value.node) ?? []), { stamp, tick: value }])
      return
    }
    const { bundle: own, event } = value
    const { length } = this.runs
    this.runs = withNext(this.runs, own, stamp, (id) => this.patience(id))
    if (this.runs.length > length) this.known = this.tenures
    const bundles = new Set(this.known.map(({ id }) => id))
    const others = [...bundles].filter((bundle) => bundle !== own)
    const beside = new Map(others.map((bundle) => [bundle, this.beside(own, bundle, stamp)]))
    const host = getText(event.ecs, 'destination.ip')
    const at = { eventId: event.id, time: event.time, ingested: stamp, partition: this.partition, offset }
    for (const bundle of bundles) {
      for (const { rule, group, refs } of meetings(this.rulesOf(bundle), event, beside.get(bundle))) {
        const also = [...beside].filter(([other, rules]) => other !== bundle && this.changedAbove(rule, bundle, other, rules))
        const hit = { bundle, also: also.map(([other]) => other), rule, group, refs, ...at }
        this.hits.push(host === undefined ? hit : { ...hit, value: host })
      }
    }
  }

  /** As of the event that was taken last. */
  get tenures(): readonly Tenure[] {
    return tenuresOfRuns(this.runs, (id) => this.patience(id))
  }

  private patience(bundle: string): Patience {
    const set = this.rulesOf(bundle)
    return patienceFor(set.correlations.map((rule) => ({ sight: sightOf(rule), reach: reachOf(rule, set) })))
  }

  /**
   * The correlations of another bundle that take an event beside those of its own: where they have other parameters there, until G after
   * it was left, in the newest bundle that has them so.
   */
  private beside(own: string, other: string, stamp: number): ReadonlySet<string> {
    const taking = this.rulesOf(other).correlations.filter((rule) => {
      const key = keyIn(this.rulesOf(other), rule.id)
      const having = this.known.filter(({ id, left = stamp }) => keyIn(this.rulesOf(id), rule.id) === key && stamp <= left + sightOf(rule))
      return keyIn(this.rulesOf(own), rule.id) !== key && having.at(-1)?.id === other
    })
    return new Set(taking.map(({ id }) => id))
  }

  /** Whether another bundle has the same rule under one of those that take the event beside: then its anchors go there, too. */
  private changedAbove(rule: string, bundle: string, other: string, beside: ReadonlySet<string>): boolean {
    const { correlations } = this.rulesOf(other)
    const isAbove = (above: string): boolean =>
      correlations.some(({ id, rules }) => id === above && rules.some((child) => child === rule || isAbove(child)))
    return keyIn(this.rulesOf(bundle), rule) === keyIn(this.rulesOf(other), rule) && [...beside].some(isAbove)
  }

  gaps(): Gap[] {
    return [...this.ticks].flatMap(([node, all]) =>
      all.flatMap(({ stamp, tick }, at): Gap[] => {
        const next = all[at + 1]?.stamp ?? null
        if (tick.leaving) return []
        if (tick.paused) return [{ node, why: 'paused', from: stamp, to: next }]
        return (next ?? Number.POSITIVE_INFINITY) > stamp + SILENT ? [{ node, why: 'silent', from: stamp + SILENT, to: next }] : []
      }),
    )
  }
}

/**
 * The rules that alert by themselves, and the correlations, that an event means something to.
 *
 * @param only these, where the rule set is not the event's own
 */
function meetings(set: RuleSet, event: Event, only: ReadonlySet<string> | undefined) {
  const met = set.detections.filter((rule) => meets(rule, event))
  if (met.length === 0) return []
  const singles = only === undefined ? met.filter(({ silent }) => silent !== true).map(({ id }) => ({ rule: id, group: [], refs: 1 })) : []
  const correlations = set.correlations.flatMap((rule) => {
    const refs = met.reduce((bits, { id }) => (rule.rules.includes(id) ? bits | (1 << rule.rules.indexOf(id)) : bits), 0)
    if (refs === 0 || only?.has(rule.id) === false) return []
    return [{ rule: rule.id, group: rule.groupBy.map((name) => getText(event.ecs, name)!), refs }]
  })
  return [...singles, ...correlations]
}

function meets({ name, filters }: DetectionRule, { ecs }: Event): boolean {
  if (getText(ecs, 'event.action') !== name!.replaceAll('_', '-')) return false
  return filters.length === 0 || !SCANNERS.has(getText(ecs, 'device.id'))
}

const sightOf = ({ timespan, extension }: CorrelationRule) => timespan + extension.grace

function reachOf(rule: CorrelationRule, set: RuleSet): number {
  const below = set.correlations.filter(({ id }) => rule.rules.includes(id))
  return sightOf(rule) + Math.max(0, ...below.map((child) => sightOf(child) + reachOf(child, set)))
}

/** The parameters of a correlation, with those under it, in a rule set. */
function keyIn(set: RuleSet, id: string): string {
  const rule = set.correlations.find((correlation) => correlation.id === id)
  if (rule === undefined) return id
  const { type, rules, groupBy, aliases, timespan, bounds, fields, expression, extension } = rule
  const under = rules.map((child) => keyIn(set, child))
  return canonicalJson({ id, type, under, groupBy, aliases, timespan, bounds, fields, expression, grace: extension.grace })
}
