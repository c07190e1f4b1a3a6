/**
 * A naive oracle of docs/design.md section 5: everything in memory, every definition taken word by word, O(n²) and worse. It imports
 * nothing from the engine but types, so that it cannot share a mistake with it.
 *
 * From what each event is to each correlation (the leaf hits), the rules of each bundle and the gaps it derives the alert set: anchors
 * of correlations over detection rules first, which then are hits of the correlations above them, and so on.
 */
import { createHash } from 'node:crypto'
import type { AlertRevision } from '../../src/detectors/alert.ts'
import type { Gap, Signal } from '../../src/detectors/signal.ts'
import type { Tenure } from '../../src/detectors/tenure.ts'
import type { CorrelationRule, RuleExpression, RuleSet } from '../../src/sigma/ast.ts'
import { patienceFor } from './tenures.ts'

/** What one entry of the events log is to one rule that alerts by itself, or to one correlation over detection rules. */
export interface Hit
  extends Pick<Signal, 'bundle' | 'also' | 'group' | 'eventId' | 'time' | 'ingested' | 'partition' | 'offset' | 'refs' | 'value'> {
  /** The posture that the event does not say, and the rule asks for. */
  readonly posture?: readonly string[]
  /** Id of the rule, in the rule set of the hit's bundle. */
  readonly rule: string
}

export interface Recorded {
  readonly rulesOf: (bundle: string) => Pick<RuleSet, 'detections' | 'correlations'>
  /** In any order. Copies of one event are ingested at most three times the shortest G apart (docs/decisions/0010). */
  readonly hits: readonly Hit[]
  /** Of all events partitions. */
  readonly gaps?: readonly Gap[]
  /** By events partition. Left out: all events name one bundle. */
  readonly tenures?: readonly (readonly Tenure[])[]
  /** Where the clock of the correlations of a depth stands in the end. Left out: past everything. */
  readonly clock?: (depth: number) => number
}

/** An alert of the set, as far as everything about it is a function of the records. */
export interface SetAlert {
  readonly id: string
  readonly rule: string
  /** Of a correlation: the anchor's. (A rule that alerts by itself may be hit by copies of one event under several bundles.) */
  readonly bundle: string | null
  /** Null where the event has none. */
  readonly time: number | null
  readonly group: Readonly<Record<string, string>>
  readonly verdict: 'final' | 'provisional' | 'unknown'
  /** The nodes that make it unknown. */
  readonly nodes: readonly string[]
  /** The posture that does: of all that it rests on. */
  readonly posture: readonly string[]
  /** The rule was changed, so that not all events went to it that its condition depends on. */
  readonly partial: boolean
  /** The sources that do, which it relies on and which were silent. */
  readonly silent: readonly string[]
  /** The rules, itself or under it, that had no place for further groups, and when. */
  readonly crowded: readonly string[]
  /** Ids of the events that it rests on. */
  readonly evidence: readonly string[]
}

/** The alert set that the records mean, by id. */
export function expectedAlerts(recorded: Recorded): SetAlert[] {
  const { rulesOf, hits } = recorded
  const queue = hits.flatMap((hit): Placed[] => {
    const rule = rulesOf(hit.bundle).correlations.find(({ id }) => id === hit.rule)
    return rule === undefined ? [] : [{ ...hit, unit: unitOf(rule, rulesOf(hit.bundle)), events: [hit.eventId], leaf: true }]
  })
  const silences: Silence[] = []
  const crowds: Crowd[] = []
  const alerts = hits.flatMap((hit) => (rulesOf(hit.bundle).detections.some(({ id }) => id === hit.rule) ? [single(hit)] : []))
  const sets = [...new Set(hits.map(({ bundle }) => bundle))].map(rulesOf)
  const deepest = Math.max(0, ...sets.flatMap((set) => set.correlations.map((rule) => depth(rule, set))))
  for (let level = 1; level <= deepest; level++) {
    const taken = [...Map.groupBy(queue, ({ unit }) => unit.key).values()]
      .filter(([first]) => first!.unit.depth === level)
      .flatMap((placed) => {
        const among = admission(placed[0]!.unit, placed, recorded)
        crowds.push(...among.crowds)
        alerts.push(...among.alerts)
        return among.taken
      })
    for (const placed of Map.groupBy(taken, (hit) => JSON.stringify([hit.unit.key, hit.group])).values()) {
      const { unit } = placed[0]!
      const found = isCourse(unit.rule) ? seenTurns(unit, placed, recorded) : anchorsOf(unit, placed)
      for (const { anchor, past, until, again = Number.POSITIVE_INFINITY } of found) {
        const { group, ingested } = anchor
        if (unit.rule.extension.silence === true) silences.push({ unit, group, from: ingested, to: Math.min(again, ingested + GIVEN_UP) })
        const rule = rulesOf(anchor.bundle).correlations.find((candidate) => candidate.id === unit.rule.id)!
        const evidence = [anchor, ...(until === undefined ? evidenceOf(rule, past) : [])]
        const alert = alertOf(unit, rule, anchor, evidence, recorded, until, silences, crowds)
        if (rule.silent !== true) alerts.push(alert)
        queue.push(...passedOn(unit, alert, anchor, rulesOf))
      }
    }
  }
  return byId(alerts)
}

/** A group of a silence rule of which nothing came, from its last hit to the next. */
interface Silence {
  readonly unit: Unit
  readonly group: readonly string[]
  readonly from: number
  readonly to: number
}

/** A source that is silent for longer is missed by nobody: 30 days. */
const GIVEN_UP = 30 * 24 * 3_600_000

/** The fold of the alerts log, in the oracle's words: the newest revision of each alert, without those that were withdrawn. */
export function foldedAlerts(revisions: readonly AlertRevision[], rulesOf: Recorded['rulesOf']): SetAlert[] {
  const newest = new Map<string, AlertRevision>()
  for (const revision of revisions) {
    const known = newest.get(revision.id)
    if (known === undefined || known.rev <= revision.rev) newest.set(revision.id, revision)
  }
  return byId(
    [...newest.values()]
      .filter(({ state }) => state === 'open')
      .map(({ id, rule, bundle, time, group, evidence, provisional, unknown }) => ({
        id,
        rule: rule.id,
        bundle: rulesOf(bundle).detections.some((single) => single.id === rule.id) ? null : bundle,
        time: evidence.length > 0 && evidence.every((item) => item.time === null) ? null : time,
        group,
        verdict: provisional ? 'provisional' : unknown === undefined ? 'final' : 'unknown',
        nodes: sorted((unknown ?? []).flatMap((one) => ('node' in one ? [one.node] : []))),
        posture: sorted((unknown ?? []).flatMap((one) => (one.why === 'posture' ? [one.field] : []))),
        partial: (unknown ?? []).some(({ why }) => why === 'rules'),
        silent: sorted(
          (unknown ?? []).flatMap((one) =>
            one.why === 'silence'
              ? [
                  silentSource(one.rule, Object.keys(one.group), Object.values(one.group), one.from, one.to),
                  ...(one.more === undefined ? [] : [`and ${one.more}`]),
                ]
              : [],
          ),
        ),
        crowded: sorted((unknown ?? []).flatMap((one) => (one.why === 'groups' ? [crowdedRule(one.rule, one.from, one.to)] : []))),
        evidence: sorted(evidence.map(({ eventId }) => eventId)),
      })),
  )
}

interface Unit {
  readonly key: string
  /** By any bundle that has the unit: its parameters are the same in all of them. */
  readonly rule: CorrelationRule
  readonly depth: number
  /** The correlations right under it. */
  readonly children: readonly Unit[]
  /** The silence rules that it relies on itself. */
  readonly reliesOn: readonly Unit[]
  /** G. */
  readonly sight: number
  readonly falsifiable: boolean
  /** How far from an anchor's ingestion the events may have been ingested that its condition depends on. */
  readonly reach: number
}

interface Placed extends Hit {
  readonly unit: Unit
  /** The event itself; of an anchor, those that it rests on. */
  readonly events: readonly string[]
  /** Of an event, and not an anchor of a correlation below. */
  readonly leaf: boolean
}

/** When a share of a correlation took no further groups. By stamps, both ends included. */
interface Crowd {
  readonly unit: Unit
  readonly share: number
  readonly from: number
  readonly to: number
}

type Rules = Pick<RuleSet, 'detections' | 'correlations'>

const childrenOf = (rule: CorrelationRule, set: Rules) =>
  rule.rules.flatMap((child) => set.correlations.find(({ id }) => id === child) ?? [])
const reliedOn = ({ reliesOn = [] }: CorrelationRule, set: Rules) => set.correlations.filter(({ id }) => reliesOn.includes(id))
/** What it relies on speaks before it, like what is under it. */
const depth = (rule: CorrelationRule, set: Rules): number =>
  1 + Math.max(0, ...[...childrenOf(rule, set), ...reliedOn(rule, set)].map((other) => depth(other, set)))

function unitOf(rule: CorrelationRule, set: Rules): Unit {
  const children = childrenOf(rule, set).map((child) => unitOf(child, set))
  const { firstSeen, silence, gaps, grace, groups } = rule.extension
  const sight = isCourse(rule) ? stepOf(rule) + grace + (gaps?.wait ?? 0) + (silence === true ? rule.timespan : 0) : rule.timespan + grace
  const { id, type, rules, groupBy, aliases, timespan, bounds, fields, expression } = rule
  const silences = reliedOn(rule, set).map((silence) => unitOf(silence, set))
  const reliesOn = silences.length === 0 ? undefined : silences.map(({ key }) => key).sort()
  const under = rules.map((child) => children.find((unit) => unit.rule.id === child)?.key ?? child)
  return {
    key: hash(
      id,
      type,
      JSON.stringify({ rules: under, groupBy, aliases, timespan, bounds, fields, expression, firstSeen, silence, gaps, reliesOn, groups }),
      String(grace),
    ),
    rule,
    depth: depth(rule, set),
    children,
    reliesOn: silences,
    sight,
    falsifiable: falsifiable(rule) || children.some((child) => child.falsifiable),
    // A child's anchor depends on the condition at the signal before it, too, which it sees.
    reach: sight + Math.max(0, ...children.map((child) => child.sight + child.reach)),
  }
}

function falsifiable(rule: CorrelationRule): boolean {
  const negates = (e: RuleExpression): boolean => e.op === 'not' || (e.op !== 'rule' && e.operands.some(negates))
  return !isCourse(rule) && (rule.bounds.some(({ operator }) => operator !== 'gt' && operator !== 'gte') || negates(rule.expression))
}

/** How many groups a share takes, how many shares there are, and the steps and epochs in which that is reckoned (docs/decisions/0029). */
function roomOf({ rule, sight }: Unit) {
  const { groups = 50_000 } = rule.extension
  const shares = groups < 2_000 ? 1 : Math.floor(groups / 1_000)
  const step = Math.min(5_000, Math.ceil(sight / 8))
  return { shares, places: Math.ceil(groups / shares), step, epoch: sight - (sight % step) }
}

/** FNV-1a of 32 bits over the UTF-16 units of the values, each with 0xffff behind it. */
function shareOf(group: readonly string[], shares: number): number {
  const units = group.flatMap((value) => [...Array.from({ length: value.length }, (_, at) => value.charCodeAt(at)), 0xffff])
  const hash = units.reduce((sum, unit) => ((sum ^ BigInt(unit)) * 16_777_619n) % 2n ** 32n, 2_166_136_261n)
  return Number(hash % BigInt(shares))
}

interface Admission {
  readonly taken: readonly Placed[]
  readonly crowds: readonly Crowd[]
  readonly alerts: readonly SetAlert[]
}

/** Which of a correlation's hits are of groups that had a place. */
function admission(unit: Unit, all: readonly Placed[], recorded: Recorded): Admission {
  if (unit.rule.groupBy.length === 0) return { taken: all, crowds: [], alerts: [] }
  const { shares } = roomOf(unit)
  const parts = [...Map.groupBy(all, ({ group }) => shareOf(group, shares))].map(([share, part]) =>
    (isCourse(unit.rule) ? admittedInOrder : admittedInEpochs)(unit, share, part, recorded),
  )
  return {
    taken: parts.flatMap(({ taken }) => taken),
    crowds: parts.flatMap(({ crowds }) => crowds),
    alerts: parts.flatMap(({ alerts }) => alerts),
  }
}

const groupName = ({ group }: Hit) => (group.length === 1 ? group[0]! : JSON.stringify(group))

/** In each epoch those whose first event came before the step after the next one that follows the last place's being taken. */
function admittedInEpochs(
  unit: Unit,
  share: number,
  all: readonly Placed[],
  { rulesOf, clock = () => Number.POSITIVE_INFINITY }: Recorded,
) {
  const { places, step, epoch } = roomOf(unit)
  const epochAt = ({ ingested }: Hit) => Math.floor(ingested / epoch)
  const crowds: Crowd[] = []
  const alerts: SetAlert[] = []
  const refused = new Set<Placed>()
  for (const [at, hits] of Map.groupBy(
    all.filter(({ leaf, time }) => leaf && time !== null),
    epochAt,
  )) {
    const groups = [...Map.groupBy(hits, groupName)].map(([name, own]) => {
      const [first] = own.toSorted((a, b) => (earlier(a, b) ? -1 : 1))
      return { name, own, first: first! }
    })
    const last = groups.sort((a, b) => a.first.ingested - b.first.ingested || (a.name < b.name ? -1 : 1))[places - 1]
    if (last === undefined) continue
    const from = (Math.floor(last.first.ingested / step) + 2) * step
    const to = (at + 1) * epoch - 1
    if (from > to || clock(1) < from) continue
    crowds.push({ unit, share, from, to })
    alerts.push(fullAlert(unit, share, last.first, from, to, rulesOf))
    for (const { own, first } of groups) if (first.ingested >= from) for (const hit of own) refused.add(hit)
  }
  return { taken: all.filter((hit) => !refused.has(hit)), crowds, alerts }
}

/** Of a course those that were known, or found a place, when their turn came. */
function admittedInOrder(unit: Unit, share: number, all: readonly Placed[], { rulesOf, clock = () => Number.POSITIVE_INFINITY }: Recorded) {
  const { rule } = unit
  const { places } = roomOf(unit)
  const step = stepOf(rule)
  const taken: Placed[] = []
  const crowds: Crowd[] = []
  const alerts: SetAlert[] = []
  const says = ({ time, value }: Placed) =>
    time !== null &&
    (rule.extension.silence === true || (rule.extension.gaps === undefined ? value !== undefined : /^\d{1,15}$/.test(value ?? '')))
  const turns = all.filter((hit) => says(hit) && hit.ingested < clock(unit.depth)).sort((a, b) => (earlier(a, b) ? -1 : 1))
  for (const hit of turns) {
    const known = [...Map.groupBy(taken, groupName)].flatMap(([name, own]) => (hit.ingested <= knownUntil(unit, own) ? [name] : []))
    const isNew = !known.includes(groupName(hit))
    if (isNew && known.length >= places) {
      crowds.push({ unit, share, from: hit.ingested, to: (Math.floor(hit.ingested / step) + 1) * step - 1 })
      continue
    }
    taken.push(hit)
    if (isNew && known.length + 1 === places) alerts.push(fullAlert(unit, share, hit, hit.ingested, null, rulesOf))
  }
  return { taken, crowds, alerts }
}

/** The last stamp at which a group is known of which so much came. */
function knownUntil({ rule }: Unit, own: readonly Placed[]): number {
  const step = stepOf(rule)
  const endAt = ({ ingested }: Hit) => (Math.floor(ingested / step) + 1) * step
  if (rule.extension.silence === true) return endAt(own.at(-1)!) + rule.timespan
  if (rule.extension.gaps !== undefined) {
    const [first, ...rest] = own
    const highest = rest.reduce(
      (high, s) => (s.ingested > endAt(high) + rule.timespan || Number(s.value) > Number(high.value) ? s : high),
      first!,
    )
    return endAt(highest) + rule.timespan
  }
  const last = remembered(rule, own).at(-1)!
  return endAt(last) + Math.floor(rule.timespan / step) * step - 1
}

function fullAlert(unit: Unit, share: number, hit: Placed, from: number, to: number | null, rulesOf: Recorded['rulesOf']): SetAlert {
  const rule = rulesOf(hit.bundle).correlations.find(({ id }) => id === unit.rule.id)!
  return {
    id: hash('full', rule.id, unit.key, String(share), String(from), hit.eventId),
    rule: rule.id,
    bundle: hit.bundle,
    time: hit.time,
    group: {},
    verdict: 'unknown',
    nodes: [],
    posture: sorted(hit.posture ?? []),
    partial: false,
    silent: [],
    crowded: [crowdedRule(rule.name ?? rule.title, from, to)],
    evidence: [hit.eventId],
  }
}

/** The rules that took no further groups in what a condition at an anchor depends on: itself in its own share, those under it in any. */
function crowdedRules(unit: Unit, { group }: Hit, crowds: readonly Crowd[], first: number, last: number): readonly string[] {
  const under = (each: Unit): readonly Unit[] => [...each.children, ...each.reliesOn].flatMap((other) => [other, ...under(other)])
  const all = new Map([...under(unit), unit].map((each) => [each.key, each]))
  return sorted(
    [...all.values()].flatMap((each) => {
      const own = shareOf(group, roomOf(unit).shares)
      const touching = crowds.filter(
        (crowd) => crowd.unit.key === each.key && (each !== unit || crowd.share === own) && crowd.from <= last && crowd.to >= first,
      )
      if (touching.length === 0) return []
      const to = Math.max(...touching.map((crowd) => crowd.to))
      return [crowdedRule(each.rule.name ?? each.rule.title, Math.min(...touching.map(({ from }) => from)), to > last ? null : to)]
    }),
  )
}

const crowdedRule = (rule: string, from: number, to: number | null) => JSON.stringify([rule, from, to])

/**
 * The anchors of one group, with what they see of the timespan before. Of copies of one event that all are anchors, because they came
 * far apart, the first.
 */
function anchorsOf({ rule, sight }: Unit, placed: readonly Placed[]): Anchored[] {
  const all = placed.filter(({ time }) => time !== null)
  const counted = all.filter(
    (s) => !all.some((copy) => copy !== s && copy.eventId === s.eventId && earlier(copy, s) && s.ingested - copy.ingested <= sight),
  )
  const sees = (s: Hit, other: Hit) => Math.abs(s.ingested - other.ingested) <= sight
  const pastOf = (s: Hit) => counted.filter((o) => sees(s, o) && o.time! > s.time! - rule.timespan && o.time! <= s.time!)
  const holds = (s: Hit) => {
    const past = pastOf(s)
    const around = counted.filter((o) => sees(s, o) && o.time! > s.time! - rule.timespan && o.time! < s.time! + rule.timespan)
    return condition(rule, past, around)
  }
  const anchors = counted.filter((s) => {
    if (!holds(s)) return false
    const before = counted
      .filter((o) => sees(s, o) && lower(o, s) && s.time! - o.time! < rule.timespan)
      .sort((a, b) => (lower(a, b) ? 1 : -1))[0]
    return before === undefined || !holds(before)
  })
  return anchors
    .filter((s) => !anchors.some((copy) => copy !== s && copy.eventId === s.eventId && earlier(copy, s)))
    .map((anchor) => ({ anchor, past: pastOf(anchor) }))
}

interface Anchored {
  readonly anchor: Placed
  readonly past: readonly Placed[]
  /** Of a course: the stamp at which it was decided. */
  readonly until?: number
  /** Of a silence: the stamp at which the group was heard again, if it was. */
  readonly again?: number | undefined
}

const isCourse = ({ extension }: CorrelationRule) =>
  extension.firstSeen !== undefined || extension.silence !== undefined || extension.gaps !== undefined
/** Of the signals of a group and value in one such step, the first stands for all. */
const stepOf = ({ timespan }: CorrelationRule) => Math.min(60_000, Math.ceil(timespan / 8))

/** Not of a course, what did not come where not all that came went to it. */
function seenTurns(unit: Unit, all: readonly Placed[], recorded: Recorded): Anchored[] {
  const turns = turnsOf(unit, all, recorded)
  return unit.rule.extension.firstSeen === undefined
    ? turns.filter(({ anchor, until }) => !isPartial(unit, anchor.ingested, until!, recorded))
    : turns
}

/** Whether there is a stamp at which an event might have come that did not go to a unit, or to one under it. */
function isPartial(unit: Unit, first: number, last: number, recorded: Recorded): boolean {
  const { tenures = [], rulesOf } = recorded
  return (
    [...unit.children, ...unit.reliesOn].some((other) => isPartial(other, first, last, recorded)) ||
    tenures.some((all) => {
      const versions = all.map(({ id, since, last: named, left = Number.POSITIVE_INFINITY }) => {
        const set = rulesOf(id)
        const rules = set.correlations.filter(({ extension }) => extension.mode !== 'off')
        const rule = rules.find((candidate) => candidate.id === unit.rule.id)
        const { quiet } = patienceFor(rules.map((other) => unitOf(other, set)))
        return { since, until: named + quiet, taking: left + unit.sight, key: rule && unitOf(rule, set).key }
      })
      const takes = (stamp: number) => versions.some(({ since, taking, key }) => key === unit.key && since <= stamp && stamp <= taking)
      const misses = (stamp: number) =>
        versions.some(
          ({ since, until, key }) => since <= stamp && stamp <= until && key !== unit.key && (key === undefined || !takes(stamp)),
        )
      const turns = [first, last, ...versions.flatMap(({ since, until, taking }) => [since, until, taking])]
      const edges = turns.filter((stamp) => stamp >= first && stamp <= last).sort((a, b) => a - b)
      return edges.some((edge, at) => misses(edge) || misses((edge + (edges[at + 1] ?? edge)) / 2))
    })
  )
}

/** What the course of a group comes to: its hits in the order of their stamps, word by word (docs/decisions/0019). */
function turnsOf({ rule, depth }: Unit, all: readonly Placed[], { clock = () => Number.POSITIVE_INFINITY }: Recorded): Anchored[] {
  const now = clock(depth)
  const step = stepOf(rule)
  const stepAt = ({ ingested }: Hit) => Math.floor(ingested / step)
  const judged = all.filter(({ time, ingested }) => time !== null && ingested < now).sort((a, b) => (earlier(a, b) ? -1 : 1))
  if (rule.extension.silence === true) {
    return judged.flatMap((s, at) => {
      const isFirstOfStep = judged.findIndex((other) => stepAt(other) === stepAt(s)) === at
      const until = (stepAt(s) + 1) * step + rule.timespan
      const next = judged.find((other) => stepAt(other) > stepAt(s))
      const isSilent = next === undefined ? now > until : next.ingested > until
      return isFirstOfStep && isSilent ? [{ anchor: s, past: [], until, again: next?.ingested }] : []
    })
  }
  const { gaps } = rule.extension
  if (gaps !== undefined) {
    const endAt = (s: Hit) => (stepAt(s) + 1) * step
    const numbered = judged.filter(({ value = '' }) => /^\d+$/.test(value))
    let highest: Placed | undefined
    return numbered.flatMap((s): Anchored[] => {
      const before = highest === undefined || s.ingested > endAt(highest) + rule.timespan ? undefined : highest
      if (before === undefined || Number(s.value) > Number(before.value)) highest = s
      if (before === undefined) return []
      const until = endAt(s) + gaps.wait
      const came = new Set(numbered.filter((o) => earlier(s, o) && o.ingested <= until).map(({ value }) => Number(value)))
      const between = Array.from(
        { length: Math.max(0, Number(s.value) - Number(before.value) - 1) },
        (_, at) => Number(before.value) + 1 + at,
      )
      return now > until && between.some((number) => !came.has(number)) ? [{ anchor: s, past: [], until }] : []
    })
  }
  const { learn, values } = rule.extension.firstSeen!
  const remembers = (s: Hit, other: Hit) => (stepAt(s) - stepAt(other)) * step <= rule.timespan
  const valued = remembered(
    rule,
    judged.filter(({ value }) => value !== undefined),
  )
  return valued.flatMap((s, at) => {
    const before = valued.slice(0, at).filter((other) => remembers(s, other))
    if (before.some((other) => other.value === s.value)) return []
    const pause = valued.findLastIndex((other, index) => index <= at && (index === 0 || !remembers(other, valued[index - 1]!)))
    const isLast = new Set(before.map(({ value }) => value)).size + 1 === values
    return isLast || s.ingested - valued[pause]!.ingested >= learn ? [{ anchor: s, past: [], until: s.ingested }] : []
  })
}

/** Hits in their order: those with values for which their group had room. */
function remembered(rule: CorrelationRule, judged: readonly Placed[]): readonly Placed[] {
  const step = stepOf(rule)
  const stepAt = ({ ingested }: Hit) => Math.floor(ingested / step)
  const valued: Placed[] = []
  for (const s of judged) {
    const others = new Set(valued.filter((other) => (stepAt(s) - stepAt(other)) * step <= rule.timespan).map(({ value }) => value))
    if (others.has(s.value) || others.size < rule.extension.firstSeen!.values) valued.push(s)
  }
  return valued
}

/** What the condition rests on, of what it sees: all that counts, or is a link of a sequence; of `temporal` all that may be asserted. */
function evidenceOf({ type, rules, expression }: CorrelationRule, past: readonly Placed[]): readonly Placed[] {
  const matches = (s: Hit, ref: number) => (s.refs & (1 << ref)) !== 0
  switch (type) {
    case 'event_count':
      return past
    case 'value_count':
    case 'value_sum':
      return past.filter(({ value }) => value !== undefined)
    case 'temporal':
      return past.filter((s) => rules.some((_, ref) => matches(s, ref) && isAsserted(expression, ref)))
    case 'temporal_ordered': {
      const inOrder = wanted(expression)
      const sequences = (stage: number, from: number): Placed[][] =>
        stage === inOrder.length
          ? [[]]
          : past
              .filter((s) => matches(s, inOrder[stage]!) && s.time! >= from)
              .flatMap((s) => sequences(stage + 1, s.time!).map((rest) => [s, ...rest]))
      return sequences(0, Number.NEGATIVE_INFINITY).flat()
    }
  }
}

/** Whether a rule stands somewhere under an even number of negations. */
function isAsserted(e: RuleExpression, ref: number, asserted = true): boolean {
  if (e.op === 'rule') return asserted && e.rule === ref
  return e.op === 'not' ? isAsserted(e.operand, ref, !asserted) : e.operands.some((operand) => isAsserted(operand, ref, asserted))
}

function alertOf(
  unit: Unit,
  rule: CorrelationRule,
  anchor: Hit,
  evidence: readonly Placed[],
  recorded: Recorded,
  until: number | undefined,
  silences: readonly Silence[],
  crowds: readonly Crowd[],
): SetAlert {
  const { gaps = [], clock = () => Number.POSITIVE_INFINITY } = recorded
  const { ingested } = anchor
  const closed = clock(unit.depth) > ingested + unit.sight
  const [first, last] = until === undefined ? [ingested - unit.reach, ingested + unit.reach] : [ingested, until]
  const missed = gaps.filter(({ from, to }) => from <= last && (to === null || to >= first))
  const nodes = (until === undefined ? unit.falsifiable && closed : rule.extension.firstSeen === undefined)
    ? sorted(missed.map(({ node }) => node))
    : []
  const partial = until === undefined && unit.falsifiable && closed && isPartial(unit, first, last, recorded)
  const silent = until === undefined && unit.falsifiable && closed && !partial ? silentSources(unit, anchor, silences, first, last) : []
  const crowded = until === undefined && unit.falsifiable && closed ? crowdedRules(unit, anchor, crowds, first, last) : []
  const posture = sorted(evidence.flatMap(({ posture = [] }) => posture))
  return {
    id: hash('alert', rule.id, unit.key, ...anchor.group, String(until === undefined ? anchor.time : anchor.ingested), anchor.eventId),
    rule: rule.id,
    bundle: anchor.bundle,
    time: anchor.time,
    group: Object.fromEntries(rule.groupBy.map((field, at) => [field, anchor.group[at]!])),
    verdict:
      unit.falsifiable && !closed
        ? 'provisional'
        : partial || nodes.length + posture.length + silent.length + crowded.length > 0
          ? 'unknown'
          : 'final',
    nodes,
    posture,
    partial,
    silent,
    crowded,
    evidence: sorted(evidence.flatMap(({ events }) => events)),
  }
}

/** The silent sources that a correlation relies on, or one under it, in what its condition at an anchor depends on: the first eight. */
function silentSources(unit: Unit, { group }: Hit, silences: readonly Silence[], first: number, last: number): readonly string[] {
  const reliedUnder = (each: Unit): readonly Unit[] => [...each.reliesOn, ...each.children.flatMap(reliedUnder)]
  const keys = [...new Set(reliedUnder(unit).map(({ key }) => key))]
  const { groupBy, aliases } = unit.rule
  return sorted(
    keys.flatMap((key) => {
      const touching = silences
        .filter((one) => {
          const concerns = one.unit.rule.groupBy.every((field, at) => {
            const place = Object.hasOwn(aliases, field) ? -1 : groupBy.indexOf(field)
            return place === -1 || group[place] === one.group[at]
          })
          return one.unit.key === key && concerns && one.from <= last && one.to >= first
        })
        .sort((a, b) => a.from - b.from || (JSON.stringify(a.group) < JSON.stringify(b.group) ? -1 : 1))
      const texts = touching
        .slice(0, 8)
        .map((one) =>
          silentSource(
            one.unit.rule.name ?? one.unit.rule.title,
            one.unit.rule.groupBy,
            one.group,
            one.from,
            one.to > last ? null : one.to,
          ),
        )
      return touching.length > 8 ? [...texts, `and ${touching.length - 8}`] : texts
    }),
  )
}

const silentSource = (rule: string, fields: readonly string[], values: readonly string[], from: number, to: number | null) =>
  JSON.stringify([rule, fields, values, from, to])

/** What an anchor is to the correlations above its own: in its event's bundle, and in those beside it that have the same one, too. */
function passedOn(child: Unit, { id, evidence, posture }: SetAlert, anchor: Hit, rulesOf: Recorded['rulesOf']): Placed[] {
  const bundles = [anchor.bundle, ...(anchor.also ?? [])]
  const parents = bundles.flatMap((bundle): Placed[] => {
    const set = rulesOf(bundle)
    const rule = set.correlations.find((candidate) => candidate.id === child.rule.id)
    if (rule === undefined || unitOf(rule, set).key !== child.key) return []
    return set.correlations
      .filter(({ rules, extension }) => rules.includes(rule.id) && extension.mode !== 'off')
      .map((parent) => {
        const groupValue = (name: string) => anchor.group[rule.groupBy.indexOf(parent.aliases[name]?.[rule.id] ?? name)]!
        const values = parent.fields.map(groupValue)
        return {
          ...anchor,
          bundle,
          also: bundles.filter((other) => other !== bundle),
          rule: parent.id,
          unit: unitOf(parent, set),
          eventId: id,
          events: evidence,
          leaf: false,
          posture,
          group: parent.groupBy.map(groupValue),
          refs: 2 ** parent.rules.indexOf(rule.id),
          ...(values.length === 0 ? {} : { value: values.length === 1 ? values[0]! : JSON.stringify(values.map((value) => [value])) }),
        }
      })
  })
  return parents.filter((parent, at) => parents.findIndex(({ unit }) => unit.key === parent.unit.key) === at)
}

function single({ rule, time, eventId, posture = [] }: Hit): SetAlert {
  const id = hash('alert', rule, '', '', String(time), eventId)
  return {
    id,
    rule,
    bundle: null,
    time,
    group: {},
    verdict: posture.length > 0 ? 'unknown' : 'final',
    nodes: [],
    posture: sorted(posture),
    partial: false,
    silent: [],
    crowded: [],
    evidence: [eventId],
  }
}

const sorted = (texts: readonly string[]) => [...new Set(texts)].sort()

const byId = (alerts: readonly SetAlert[]) =>
  [...new Map(alerts.map((alert) => [alert.id, alert])).values()].sort((a, b) => (a.id < b.id ? -1 : 1))

const hash = (...parts: readonly string[]) =>
  createHash('sha256')
    .update(parts.map((part) => `${part.length}:${part}`).join(''))
    .digest('hex')
    .slice(0, 32)

const lower = (a: Hit, b: Hit) =>
  a.time! < b.time! || (a.time === b.time && (a.eventId < b.eventId || (a.eventId === b.eventId && earlier(a, b))))
const earlier = (a: Hit, b: Hit) =>
  a.ingested < b.ingested ||
  (a.ingested === b.ingested && (a.partition < b.partition || (a.partition === b.partition && a.offset < b.offset)))

function condition(rule: CorrelationRule, past: readonly Hit[], around: readonly Hit[]): boolean {
  const matches = (s: Hit, ref: number) => (s.refs & (1 << ref)) !== 0
  const bounded = (n: number) =>
    rule.bounds.every(
      ({ operator, value }) =>
        ({ gt: n > value, gte: n >= value, lt: n < value, lte: n <= value, eq: n === value, neq: n !== value })[operator],
    )
  switch (rule.type) {
    case 'event_count':
      return bounded(past.reduce((sum, s) => sum + rule.rules.filter((_, ref) => matches(s, ref)).length, 0))
    case 'value_count':
      return bounded(new Set(past.flatMap(({ value }) => (value === undefined ? [] : [value]))).size)
    case 'value_sum': {
      const sum = past.reduce((total, { value = '' }) => total + tenths(value), 0n)
      const holds = (bound: bigint) => ({
        gt: sum > bound,
        gte: sum >= bound,
        lt: sum < bound,
        lte: sum <= bound,
        eq: sum === bound,
        neq: sum !== bound,
      })
      return rule.bounds.every(({ operator, value }) => holds(BigInt(value) * 10n)[operator])
    }
    case 'temporal': {
      const truth = (e: RuleExpression): boolean =>
        e.op === 'rule'
          ? past.some((s) => matches(s, e.rule))
          : e.op === 'not'
            ? !absentable(e.operand)
            : e.op === 'and'
              ? e.operands.every(truth)
              : e.operands.some(truth)
      const absentable = (e: RuleExpression): boolean =>
        e.op === 'rule'
          ? around.some((s) => matches(s, e.rule))
          : e.op === 'not'
            ? !truth(e.operand)
            : e.op === 'and'
              ? e.operands.every(absentable)
              : e.operands.some(absentable)
      return truth(rule.expression)
    }
    case 'temporal_ordered': {
      const inOrder = wanted(rule.expression)
      const unwanted = rule.rules.map((_, ref) => ref).filter((ref) => !inOrder.includes(ref))
      const chain = (stage: number, from: number): boolean =>
        stage === inOrder.length || past.some((s) => matches(s, inOrder[stage]!) && s.time! >= from && chain(stage + 1, s.time!))
      return chain(0, Number.NEGATIVE_INFINITY) && !around.some((s) => unwanted.some((ref) => matches(s, ref)))
    }
  }
}

/** A number with one digit behind the point at the most, in tenths. What is none, or below zero, adds nothing. */
const tenths = (text: string) => (/^\d+(\.\d)?$/.test(text) ? BigInt(text.replace('.', '')) * (text.includes('.') ? 1n : 10n) : 0n)

/** The rules of a sequence that must match, in its order: those not under `not`. */
function wanted(expression: RuleExpression): number[] {
  if (expression.op === 'rule') return [expression.rule]
  return expression.op === 'not' ? [] : expression.operands.flatMap(wanted).sort((a, b) => a - b)
}
