import type { Random } from '../world/random.ts'
import {
  type Correlation,
  copiesKnown,
  type Detection,
  type Expression,
  type Field,
  type Mode,
  type Operator,
  type Rules,
} from './rules.ts'

/** One thing that happened, as its producer tells it. */
export interface Occurrence {
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly action: string
  readonly host: string
  /** None, one, or several: an array joins a group per element. */
  readonly users: readonly string[]
  readonly file: string | undefined
  readonly size: number | undefined
  /** Counts the events of its host; some numbers are lost for good. */
  readonly sequence: number
}

/** Occurrences that a producer sends together, and sends again until they are acknowledged. */
export interface Delivery {
  readonly at: number
  readonly occurrences: readonly Occurrence[]
}

export interface Workload {
  readonly bundles: readonly Rules[]
  /** By place in `bundles`; the first of these is active from the start. */
  readonly activations: readonly { readonly at: number; readonly bundle: number }[]
  readonly deliveries: readonly Delivery[]
}

const ACTIONS = ['read', 'connect', 'login', 'delete', 'idle']
const HOSTS = ['h0', 'h1', 'h2']
const USERS = ['u0', 'u1']
const FILES = ['f0', 'f1', 'f2', 'f3']
const SIZES = [0, 0.5, 1, 2]
const GROUPINGS: readonly (readonly Field[])[] = [['host.name'], ['host.name'], ['user.name'], ['host.name', 'user.name'], []]

export interface Period {
  readonly start: number
  readonly end: number
}

export function workloadOf(random: Random, { start, end }: Period): Workload {
  const bundles = [randomRules(random)]
  const activations: { at: number; bundle: number }[] = []
  for (let changes = random.int(0, 3); changes > 0; changes--) {
    // Some changes are taken back later.
    const bundle = random.chance(0.3) ? random.int(0, bundles.length - 1) : bundles.push(changed(random, bundles.at(-1)!)) - 1
    activations.push({ at: random.int(start, end), bundle })
  }
  const known = Math.min(end - start, ...bundles.map(({ correlations }) => copiesKnown(correlations)))
  const deliveries = randomDeliveries(random, { start, end }, known - 2_000)
  const relying = relyingOnes(random, bundles)
  return { bundles: bundles.map((rules) => withReliance(rules, relying)), activations: activations.sort((a, b) => a.at - b.at), deliveries }
}

/** The names of correlations that rely on the silence rules beside them, wherever they rest on absence. */
function relyingOnes(random: Random, bundles: readonly Rules[]): ReadonlySet<string> {
  const names = new Set(bundles.flatMap(({ correlations }) => correlations.map(({ name }) => name)))
  return new Set([...names].filter(() => random.chance(0.6)))
}

function withReliance({ detections, correlations }: Rules, relying: ReadonlySet<string>): Rules {
  const silences = correlations.filter(({ course }) => course === 'silence').map(({ name }) => name)
  const relies = (rule: Correlation) => silences.length > 0 && relying.has(rule.name) && rule.course === undefined && restsOnAbsence(rule)
  return { detections, correlations: correlations.map((rule) => (relies(rule) ? { ...rule, reliesOn: silences } : rule)) }
}

function restsOnAbsence({ bounds, expression }: Correlation): boolean {
  const negates = (e: Expression): boolean => e.op === 'not' || (e.op !== 'rule' && e.operands.some(negates))
  return negates(expression) || bounds.some(({ operator }) => operator !== 'gt' && operator !== 'gte')
}

/** The rules as somebody leaves them who has worked on one of them. */
function changed(random: Random, { detections, correlations }: Rules): Rules {
  const replaced = <T>(items: readonly T[], change: (item: T) => T): T[] => {
    const at = random.int(0, items.length - 1)
    return items.map((item, index) => (index === at ? change(item) : item))
  }
  switch (random.pick(['tune', 'except', 'retitle', 'stretch', 'stretch', 'remove', 'add'] as const)) {
    case 'stretch':
      return {
        detections,
        correlations: replaced(correlations, (rule) => ({
          ...rule,
          ...(rule.course === undefined
            ? { timespan: random.int(1, 5), bounds: rule.bounds.length === 0 ? [] : randomBounds(random) }
            : { timespan: random.int(4, 9) }),
        })),
      }
    case 'remove': {
      const free = correlations.filter(({ name }) => !correlations.some(({ rules }) => rules.includes(name)))
      const gone = free.length === correlations.length && free.length === 1 ? undefined : random.pick(free)
      return { detections, correlations: correlations.filter((rule) => rule !== gone) }
    }
    case 'add': {
      const taken = new Set(correlations.map(({ name }) => name))
      let at = 0
      while (taken.has(`c${at}`)) at++
      return { detections, correlations: [...correlations, randomCorrelation(random, at, detections)] }
    }
    case 'tune':
      return { correlations, detections: replaced(detections, (rule) => ({ ...rule, actions: [rule.actions[0]!, random.pick(ACTIONS)] })) }
    case 'except':
      return {
        correlations,
        detections: replaced(detections, (rule) => ({ ...rule, exceptions: random.chance(0.5) ? [random.pick(USERS)] : [] })),
      }
    case 'retitle':
      return {
        detections,
        correlations: replaced(correlations, (rule) => ({ ...rule, level: random.pick(['medium', 'critical']), mode: randomMode(random) })),
      }
  }
}

function randomRules(random: Random): Rules {
  const detections = ACTIONS.slice(0, 4).map((action, at) => randomDetection(random, action, at))
  const correlations = Array.from({ length: random.int(2, 4) }, (_, at) => randomCorrelation(random, at, detections))
  for (let courses = random.pick([0, 1, 1, 2]); courses > 0; courses--)
    correlations.push(randomCourse(random, correlations.length, detections))
  for (let chains = random.int(-1, 2); chains > 0; chains--) {
    const children = random.shuffle(correlations).slice(0, random.int(1, 2))
    correlations.push(randomCorrelation(random, correlations.length, random.chance(0.5) ? detections : children, children))
  }
  return { detections, correlations }
}

function randomDetection(random: Random, action: string, at: number): Detection {
  return {
    kind: 'detection',
    name: `d${at}`,
    id: ruleId(1, at),
    actions: random.chance(0.2) ? [action, random.pick(ACTIONS)] : [action],
    listed: random.chance(0.2),
    exceptions: random.chance(0.15) ? [random.pick(USERS)] : [],
    ...(random.chance(0.15) ? { posture: randomPosture(random) } : {}),
    level: 'medium',
    mode: randomMode(random),
  }
}

function randomPosture(random: Random): NonNullable<Detection['posture']> {
  const fields = random.shuffle(['device.posture.enrolled', 'user.mfa'] as const)
  return { require: fields.slice(0, random.int(1, 2)), unknown: random.pick(['pass', 'alert', 'fail']) }
}

/** @param children correlations that it refers to: their alerts have no fields but those that they are grouped by */
function randomCorrelation(
  random: Random,
  at: number,
  below: readonly { readonly name: string }[],
  children: readonly Correlation[] = [],
): Correlation {
  const fields =
    children.length === 0
      ? undefined
      : children.map(({ groupBy }) => groupBy).reduce((all, some) => all.filter((field) => some.includes(field)))
  const type = random.pick([
    'event_count',
    fields?.length === 0 ? 'event_count' : 'value_count',
    fields === undefined ? 'value_sum' : 'event_count',
    'temporal',
    'temporal',
    'temporal_ordered',
  ] as const)
  const counts = type !== 'temporal' && type !== 'temporal_ordered'
  const others = random.shuffle(below.filter((rule) => !children.some(({ name }) => name === rule.name))).map(({ name }) => name)
  const wanted = counts ? random.int(1, 2) : random.int(2, 3)
  const rules = [...children.map(({ name }) => name), ...others].slice(0, Math.max(wanted, children.length))
  const temporal = !counts && rules.length > 1
  const ordered = random.shuffle(rules)
  return {
    kind: 'correlation',
    name: `c${at}`,
    id: ruleId(2, at),
    type: temporal || counts ? type : 'event_count',
    rules: ordered,
    groupBy: fields === undefined ? random.pick(GROUPINGS) : fields.filter(() => random.chance(0.7)),
    timespan: random.int(1, 5),
    grace: random.int(2, 4),
    bounds: temporal ? [] : randomBounds(random),
    ...(type === 'value_count' ? { field: fields === undefined ? ('file.name' as const) : random.pick(fields) } : {}),
    ...(type === 'value_sum' ? { field: 'file.size' as const } : {}),
    expression: temporal
      ? randomExpression(random, ordered.length, type)
      : joined(
          'or',
          ordered.map((_, rule) => ({ op: 'rule', rule })),
        ),
    ...fewGroups(random),
    generate: random.chance(0.3),
    level: 'high',
    mode: randomMode(random),
  }
}

/** An attacker who makes up names, where names are few. */
function fewGroups(random: Random): Pick<Correlation, 'groups'> {
  return random.chance(0.25) ? { groups: random.int(1, 2) } : {}
}

/** New values, silence, or missing numbers of the events of some rules. */
function randomCourse(random: Random, at: number, detections: readonly Detection[]): Correlation {
  const course = random.pick(['silence', { learn: random.int(0, 3), values: random.int(2, 5) }, { wait: random.int(1, 3) }] as const)
  const silence = course === 'silence'
  const rules = random
    .shuffle(detections)
    .slice(0, random.int(1, 3))
    .map(({ name }) => name)
  return {
    kind: 'correlation',
    name: `c${at}`,
    id: ruleId(2, at),
    type: silence ? 'event_count' : 'value_count',
    rules,
    groupBy: random.pick([['host.name'], ['user.name']]),
    timespan: random.int(4, 9),
    grace: random.int(1, 4),
    bounds: [silence ? bound('lt', 1) : bound('gte', 2)],
    ...(silence ? {} : { field: 'wait' in course ? ('event.sequence' as const) : ('file.name' as const) }),
    course,
    expression: joined(
      'or',
      rules.map((_, rule) => ({ op: 'rule', rule })),
    ),
    ...fewGroups(random),
    generate: random.chance(0.3),
    level: 'high',
    mode: randomMode(random),
  }
}

function randomMode(random: Random): Mode {
  return random.chance(0.7) ? 'enforce' : 'alert'
}

function randomBounds(random: Random): Correlation['bounds'] {
  const value = random.int(2, 3)
  if (random.chance(0.25)) return [bound('gt', value - 1), bound('lte', value + random.int(0, 2))]
  return [bound(random.pick(['gte', 'gte', 'gt', 'eq', 'neq', 'lt', 'lte']), value)]
}

const bound = (operator: Operator, value: number) => ({ operator, value })

function randomExpression(random: Random, rules: number, type: Correlation['type']): Expression {
  const leaves = Array.from({ length: rules }, (_, rule): Expression => ({ op: 'rule', rule }))
  if (random.chance(0.4)) leaves[rules - 1] = { op: 'not', operand: leaves[rules - 1]! }
  else if (type === 'temporal' && random.chance(0.3)) {
    const [first, ...rest] = leaves
    return rest.length > 1 ? joined('and', [first!, joined('or', rest)]) : joined('or', leaves)
  }
  return joined('and', leaves)
}

function joined(op: 'and' | 'or', operands: readonly Expression[]): Expression {
  return operands.length === 1 ? operands[0]! : { op, operands }
}

function ruleId(kind: number, at: number): string {
  return `0000000${kind}-0000-4000-8000-${String(at).padStart(12, '0')}`
}

/** @param repeat how much later an event is sent again at the most */
function randomDeliveries(random: Random, { start, end }: Period, repeat: number): Delivery[] {
  const deliveries: Delivery[] = []
  const rate = random.int(200, 900)
  const sequences = new Map<string, number>()
  let time = start
  for (let at = 0; time < end; at++) {
    const host = random.pick(HOSTS)
    const sequence = (sequences.get(host) ?? 0) + (random.chance(0.1) ? 2 : 1)
    sequences.set(host, sequence)
    const occurrence: Occurrence = {
      id: `e${at}`,
      // Sources round: events of one instant are common.
      time: random.chance(0.3) ? Math.floor(time / 500) * 500 : time,
      action: random.pick(ACTIONS),
      host,
      sequence,
      users: random.chance(0.15) ? [] : random.chance(0.1) ? USERS : [random.pick(USERS)],
      file: random.chance(0.8) ? random.pick(FILES) : undefined,
      size: random.chance(0.8) ? random.pick(SIZES) : undefined,
    }
    const delivered = time + lateness(random)
    deliveries.push({ at: Math.min(delivered, end), occurrences: [occurrence] })
    // A producer that is not sure sends again, much later, too.
    if (random.chance(0.06)) deliveries.push({ at: Math.min(delivered + random.int(0, repeat), end), occurrences: [occurrence] })
    // Now and then nothing happens for a while but ticks.
    time += random.chance(0.02) ? random.int(5_000, 12_000) : random.int(0, 2 * rate)
  }
  return deliveries.sort((a, b) => a.at - b.at)
}

function lateness(random: Random): number {
  const roll = random.next()
  if (roll < 0.75) return random.int(0, 300)
  return roll < 0.95 ? random.int(300, 5_000) : random.int(5_000, 20_000)
}
