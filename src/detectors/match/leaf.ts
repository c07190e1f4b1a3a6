import type { Event } from '../../event/event.ts'
import { compileField, type FieldReader } from '../../event/field.ts'
import type { Json } from '../../event/json.ts'
import { parseTime } from '../../event/time.ts'
import type { MatchNode, Test } from '../../sigma/ast.ts'
import { fold } from './fold.ts'
import { contains, parseAddress, parseNetwork } from './network.ts'
import { compileRegex } from './regex/compile.ts'
import { compileText, textForm } from './text.ts'
import { anyElement, canonicalNumber, collectValues, comparableNumber, equalNumber, isNull, isPresent, textOf } from './value.ts'

/** Whether the value of a field (undefined: absent; an array: any element) meets a test. The event is there for `fieldref`. */
export type ValueTest = (value: Json | undefined, event: Event) => boolean

/**
 * What each test of a rule means: the one place that says so. The matcher finds most literals through its index instead and
 * must agree with this.
 *
 * @throws CordonError where a rule that parsed cannot be run: `SIGMA-REGEX-*`, `SIGMA-CIDR-INVALID`
 */
export function compileTest(test: Test): ValueTest {
  switch (test.kind) {
    case 'text':
      return textForm(test).form === 'anything' ? isPresent : onText(compileText(test))
    case 'boolean':
      return onText(compileText({ kind: 'text', parts: [String(test.value)], cased: false }))
    case 'regex':
      return onText(compileRegex(test).test)
    case 'number': {
      const wanted = canonicalNumber(test.value)
      return (value) => anyElement(value, (element) => equalNumber(element) === wanted)
    }
    case 'null':
      return isNull
    case 'exists':
      return (value) => (value !== undefined) === test.value
    case 'cidr': {
      const network = parseNetwork(test.network)
      return onText((text) => {
        const address = parseAddress(text)
        return address !== undefined && contains(network, address)
      })
    }
    case 'compare': {
      const holds = comparison(test.operator, test.value)
      return (value) =>
        anyElement(value, (element) => {
          const number = comparableNumber(element)
          return number !== undefined && holds(number)
        })
    }
    case 'timepart':
      return (value) =>
        anyElement(value, (element) => {
          const time = parseTime(element)
          return time !== null && timePart(test.part, new Date(time)) === test.value
        })
    case 'fieldref':
      return fieldReference(test)
  }
}

/** Reads the values that a field of a rule names; null is every value of the event (keywords). */
export function compileReader(field: string | null): FieldReader {
  if (field !== null) return compileField(field)
  return (event) => {
    const values: Json[] = []
    collectValues(event, values)
    return values
  }
}

/** Whether the list or filter entry that a leaf comes from still counts at the event's time; without a time it does. */
export function countsAt({ expires }: Pick<MatchNode, 'expires'>, event: Event): boolean {
  return expires === undefined || event.time === null || event.time < expires.at
}

/** A leaf of a rule, ready to run. Its expiry is apart: see {@link countsAt}. */
export interface Leaf {
  readonly read: FieldReader
  readonly test: ValueTest
}

const compiled = new WeakMap<MatchNode, Leaf>()

/** A node's leaf, compiled once for the life of the node. @throws as {@link compileTest} */
export function leafOf(node: MatchNode): Leaf {
  let leaf = compiled.get(node)
  if (leaf === undefined) {
    leaf = { read: compileReader(node.field), test: compileTest(node.test) }
    compiled.set(node, leaf)
  }
  return leaf
}

function onText(test: (text: string) => boolean): ValueTest {
  return (value) =>
    anyElement(value, (element) => {
      const text = textOf(element)
      return text !== undefined && test(text)
    })
}

function comparison(operator: Extract<Test, { kind: 'compare' }>['operator'], bound: number | bigint): (value: number | bigint) => boolean {
  switch (operator) {
    case 'lt':
      return (value) => value < bound
    case 'lte':
      return (value) => value <= bound
    case 'gt':
      return (value) => value > bound
    case 'gte':
      return (value) => value >= bound
  }
}

/** Compared as text, so that 4625 refers to "4625"; wildcards in the other field's value mean themselves. */
function fieldReference(test: Extract<Test, { kind: 'fieldref' }>): ValueTest {
  const readOther = compileField(test.field)
  const plain = test.cased ? (text: string) => text : fold
  const holds = {
    equals: (text: string, other: string) => text === other,
    startswith: (text: string, other: string) => text.startsWith(other),
    endswith: (text: string, other: string) => text.endsWith(other),
    contains: (text: string, other: string) => text.includes(other),
  }[test.position]
  return (value, event) => {
    const others: string[] = []
    anyElement(readOther(event), (element) => {
      const text = textOf(element)
      if (text !== undefined) others.push(plain(text))
      return false
    })
    return onText((text) => others.some((other) => holds(plain(text), other)))(value, event)
  }
}

const DAY = 86_400_000

/** In UTC: a rule means the same wherever the engine runs. `week` is the ISO 8601 week, `day` that of the month. */
function timePart(part: Extract<Test, { kind: 'timepart' }>['part'], date: Date): number {
  switch (part) {
    case 'minute':
      return date.getUTCMinutes()
    case 'hour':
      return date.getUTCHours()
    case 'day':
      return date.getUTCDate()
    case 'week':
      return isoWeek(date)
    case 'month':
      return date.getUTCMonth() + 1
    case 'year':
      return date.getUTCFullYear()
  }
}

/** A week belongs to the year that its Thursday is in. */
function isoWeek(date: Date): number {
  const day = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate())
  const thursday = day + (4 - (date.getUTCDay() || 7)) * DAY
  const newYear = Date.UTC(new Date(thursday).getUTCFullYear(), 0, 1)
  return Math.floor((thursday - newYear) / (7 * DAY)) + 1
}
