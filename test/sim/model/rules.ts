/**
 * The simulator's own rules: simple enough to be written twice, as Sigma files for the engine and as plain data for the oracle.
 */

/** Fields of the simulator's events. All are ECS names. */
export type Field = 'event.action' | 'host.name' | 'user.name' | 'file.name' | 'file.size' | 'event.sequence'

export type PostureField = 'device.posture.enrolled' | 'user.mfa'

/** Matches events whose `event.action` is one of the actions, unless the user is one of the exceptions. */
export interface Detection {
  readonly kind: 'detection'
  /** How other rules refer to it. */
  readonly name: string
  readonly id: string
  readonly actions: readonly string[]
  /** The actions stand in a list, which the rule refers to. */
  readonly listed: boolean
  /** Users that a filter document takes out. */
  readonly exceptions: readonly string[]
  /** Matches only where something of this is not so. */
  readonly posture?: { readonly require: readonly PostureField[]; readonly unknown: 'pass' | 'alert' | 'fail' }
  readonly level: string
  readonly mode: Mode
}

export type Mode = 'alert' | 'enforce'
export type Operator = 'gt' | 'gte' | 'lt' | 'lte' | 'eq' | 'neq'
/** `rule` is an index into the correlation's list. */
export type Expression =
  | { readonly op: 'rule'; readonly rule: number }
  | { readonly op: 'not'; readonly operand: Expression }
  | { readonly op: 'and' | 'or'; readonly operands: readonly Expression[] }

export interface Correlation {
  readonly kind: 'correlation'
  readonly name: string
  readonly id: string
  readonly type: 'event_count' | 'value_count' | 'value_sum' | 'temporal' | 'temporal_ordered'
  /** Names of detections or of other correlations. */
  readonly rules: readonly string[]
  readonly groupBy: readonly Field[]
  /** Seconds. */
  readonly timespan: number
  readonly grace: number
  readonly bounds: readonly { readonly operator: Operator; readonly value: number }[]
  readonly field?: Field
  /** It asks for new values, of which it remembers so many, after so many seconds of learning, for silence, or for numbers that do not come within so many seconds. */
  readonly course?: { readonly learn: number; readonly values: number } | 'silence' | { readonly wait: number }
  readonly expression: Expression
  /** Names of the silence rules that it relies on. */
  readonly reliesOn?: readonly string[]
  /** How many groups it takes in; else more than there are. */
  readonly groups?: number
  /** Its rules alert by themselves, too. */
  readonly generate: boolean
  readonly level: string
  readonly mode: Mode
}

export interface Rules {
  readonly detections: readonly Detection[]
  readonly correlations: readonly Correlation[]
}

/** What the simulated response is aimed at. */
export const TARGET: Field = 'host.name'

/** How many correlations stand above one another, this one included. One that relies on silences stands above them. */
export function depthOf({ rules, reliesOn = [] }: Correlation, correlations: readonly Correlation[]): number {
  const below = [...rules, ...reliesOn]
  return 1 + Math.max(0, ...correlations.filter(({ name }) => below.includes(name)).map((rule) => depthOf(rule, correlations)))
}

/** G, in milliseconds. A course is judged as it goes, in steps of an eighth of its timespan. */
export function sightOf({ timespan, grace, course }: Correlation): number {
  if (course === undefined) return 1_000 * (timespan + grace)
  const more = course === 'silence' ? timespan : 'wait' in course ? course.wait : 0
  return 125 * timespan + 1_000 * (grace + more)
}

/** How far from an alert's ingestion the events may have been ingested that it depends on, through those under it. Milliseconds. */
export function reachOf(rule: Correlation, correlations: readonly Correlation[]): number {
  const below = correlations.filter(({ name }) => rule.rules.includes(name))
  return sightOf(rule) + Math.max(0, ...below.map((child) => sightOf(child) + reachOf(child, correlations)))
}

/** Within this, copies of an event are known as such, by all correlations that care for them. Milliseconds. */
export function copiesKnown(correlations: readonly Correlation[]): number {
  return 3 * Math.min(...correlations.filter(({ course }) => course === undefined).map(sightOf))
}

/** What a correlation's state means: all but its title, its level and what is done about it, and the same of those below. */
export function parametersOf(rule: Correlation, correlations: readonly Correlation[]): string {
  const { id, type, rules, groupBy, timespan, grace, bounds, field, expression, course, reliesOn, groups } = rule
  const parameters = (name: string) => {
    const child = correlations.find((candidate) => candidate.name === name)
    return child === undefined ? name : parametersOf(child, correlations)
  }
  const below = rules.map(parameters)
  return JSON.stringify([id, type, below, groupBy, timespan, grace, bounds, field, expression, course, reliesOn?.map(parameters), groups])
}

/** The rules as one Sigma file. JSON is YAML. */
export function sigmaFile({ detections, correlations }: Rules): string {
  const documents = [...detections.flatMap(detectionDocuments), ...correlations.map((rule) => correlationDocument(rule))]
  return documents.map((document) => JSON.stringify(document)).join('\n---\n')
}

function detectionDocuments({ name, id, actions, listed, exceptions, posture, level, mode }: Detection): object[] {
  const list = `actions_${name}`
  const entry = (value: string) => ({ value, reason: 'simulated', owner: 'simulator' })
  const rule = {
    title: `detection ${name}`,
    name,
    id,
    logsource: { product: 'simulator' },
    detection: {
      selection: listed ? { 'event.action|expand': `%${list}%` } : { 'event.action': actions },
      condition: 'selection',
    },
    level,
    'x-cordon': { ...extension(mode), ...(posture === undefined ? {} : { posture }) },
  }
  const lists = listed ? [{ name: list, description: 'actions', entries: actions.map(entry) }] : []
  const filter = {
    title: `exceptions of ${name}`,
    id: `f${id.slice(1)}`,
    logsource: { product: 'simulator' },
    filter: { rules: [name], selection: { 'user.name': exceptions }, condition: 'not selection' },
  }
  return [rule, ...lists, ...(exceptions.length > 0 ? [filter] : [])]
}

function correlationDocument(rule: Correlation): object {
  const { name, id, type, rules, groupBy, timespan, grace, bounds, field, expression, course, reliesOn, groups, generate, level, mode } =
    rule
  const condition =
    type === 'temporal' || type === 'temporal_ordered'
      ? words(expression, rules)
      : { ...Object.fromEntries(bounds.map(({ operator, value }) => [operator, value])), ...(field === undefined ? {} : { field }) }
  return {
    title: `correlation ${name}`,
    name,
    id,
    correlation: { type, rules, 'group-by': groupBy, timespan: `${timespan}s`, condition, generate },
    level,
    'x-cordon': {
      ...extension(mode),
      time: { grace: `${grace}s` },
      ...courseKeys(course),
      ...(reliesOn === undefined ? {} : { relies_on: reliesOn }),
      ...(groups === undefined ? {} : { groups }),
    },
  }
}

function courseKeys(course: Correlation['course']): object {
  if (course === undefined) return {}
  if (course === 'silence') return { silence: true }
  return 'wait' in course ? { gaps: { wait: `${course.wait}s` } } : { first_seen: { learn: `${course.learn}s`, values: course.values } }
}

function extension(mode: Mode): object {
  return { mode, entities: { device: TARGET }, response: [{ do: 'quarantine_device', target: 'device' }] }
}

function words(expression: Expression, rules: readonly string[]): string {
  switch (expression.op) {
    case 'rule':
      return rules[expression.rule]!
    case 'not':
      return `not ${words(expression.operand, rules)}`
    default:
      return `(${expression.operands.map((operand) => words(operand, rules)).join(` ${expression.op} `)})`
  }
}
