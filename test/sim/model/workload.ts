import type { Random } from '../world/random.ts'
import type { Correlation, Detection, Expression, Field, Mode, Operator, Rules } from './rules.ts'

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
  return { bundles, activations: activations.sort((a, b) => a.at - b.at), deliveries: randomDeliveries(random, { start, end }) }
}

/** The rules as somebody leaves them who has worked on one of them. */
function changed(random: Random, { detections, correlations }: Rules): Rules {
  const replaced = <T>(items: readonly T[], change: (item: T) => T): T[] => {
    const at = random.int(0, items.length - 1)
    return items.map((item, index) => (index === at ? change(item) : item))
  }
  switch (random.pick(['tune', 'except', 'retitle'] as const)) {
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
  const correlations = Array.from({ length: random.int(2, 4) }, (_, at) => randomCorrelation(random, detections, at))
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
    level: 'medium',
    mode: randomMode(random),
  }
}

function randomCorrelation(random: Random, below: readonly { readonly name: string }[], at: number): Correlation {
  const type = random.pick(['event_count', 'value_count', 'temporal', 'temporal', 'temporal_ordered'] as const)
  const counts = type === 'event_count' || type === 'value_count'
  const rules = random
    .shuffle(below)
    .slice(0, counts ? random.int(1, 2) : random.int(2, 3))
    .map(({ name }) => name)
  return {
    kind: 'correlation',
    name: `c${at}`,
    id: ruleId(2, at),
    type,
    rules,
    groupBy: random.pick(GROUPINGS),
    timespan: random.int(1, 5),
    grace: random.int(1, 4),
    bounds: counts ? randomBounds(random) : [],
    ...(type === 'value_count' ? { field: 'file.name' as const } : {}),
    expression: counts
      ? joined(
          'or',
          rules.map((_, rule) => ({ op: 'rule', rule })),
        )
      : randomExpression(random, rules.length, type),
    generate: random.chance(0.2),
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

function randomDeliveries(random: Random, { start, end }: Period): Delivery[] {
  const deliveries: Delivery[] = []
  const rate = random.int(200, 900)
  let time = start
  for (let at = 0; time < end; at++) {
    const occurrence: Occurrence = {
      id: `e${at}`,
      // Sources round: events of one instant are common.
      time: random.chance(0.3) ? Math.floor(time / 500) * 500 : time,
      action: random.pick(ACTIONS),
      host: random.pick(HOSTS),
      users: random.chance(0.15) ? [] : random.chance(0.1) ? USERS : [random.pick(USERS)],
      file: random.chance(0.8) ? random.pick(FILES) : undefined,
    }
    const delivered = time + lateness(random)
    deliveries.push({ at: Math.min(delivered, end), occurrences: [occurrence] })
    // A producer that is not sure sends again, much later, too.
    if (random.chance(0.06)) deliveries.push({ at: Math.min(delivered + random.int(0, 12_000), end), occurrences: [occurrence] })
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
