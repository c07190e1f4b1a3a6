import type { Position } from '../../event/error.ts'
import type { Event } from '../../event/event.ts'
import type { Json, JsonObject } from '../../event/json.ts'
import { isObject, stringifyJson } from '../../event/json.ts'
import type { Condition, DetectionRule, MatchNode } from '../../sigma/ast.ts'
import { leaves } from '../../sigma/detection.ts'
import type { Fact } from '../alert.ts'
import { evaluate } from './evaluate.ts'
import { leafOf } from './leaf.ts'
import { appliesTo, describeLogSource } from './logsource.ts'
import { searchedRecords, textOf } from './value.ts'

/** A rule's condition as an event met it or not, node by node. */
export interface Explanation {
  readonly op: Condition['op']
  /** The search identifier or filter that the node stands for, where it stands for one. */
  readonly name: string | undefined
  /** The rule's words for a leaf; `and`, `or`, `not` for the rest. */
  readonly text: string
  readonly met: boolean
  /** A leaf: what the event has there, as text; undefined where the field is absent. */
  readonly value?: string
  readonly operands: readonly Explanation[]
}

/** Why a rule did not match: the first condition that failed. */
export interface Failure {
  readonly text: string
  /** The search identifier that it belongs to; `logsource` where the rule is not for this kind of event. */
  readonly selection: string
  /** What the event has instead; undefined where the field is absent. */
  readonly value?: string
  readonly where: Position
}

/** The longest value that is shown, in UTF-16 units. */
const LONGEST_VALUE = 256

/** Evaluates a rule's condition on one event, keeping every step. The log source is not looked at. @throws as evaluate */
export function explain(rule: DetectionRule, event: Event): Explanation {
  return explainNode(rule.condition, event)
}

function explainNode(node: Condition, event: Event): Explanation {
  const met = evaluate(node, event)
  if (node.op === 'match') {
    const value = shownValue(node, event, met)
    return { op: node.op, name: node.name, text: node.text, met, ...(value === undefined ? {} : { value }), operands: [] }
  }
  const operands = node.op === 'not' ? [node.operand] : node.operands
  return { op: node.op, name: node.name, text: node.op, met, operands: operands.map((operand) => explainNode(operand, event)) }
}

/**
 * The conditions that made a rule match: the leaves that hold, on the branches that hold; and for each search or filter that would
 * have excluded the event, what the event has in the fields that it looks at. Empty where the rule does not match.
 *
 * @throws CordonError as evaluate
 */
export function facts(rule: DetectionRule, event: Event): Fact[] {
  const found: Fact[] = []
  collectFacts(rule.condition, event, '', found)
  return found
}

function collectFacts(node: Condition, event: Event, within: string, found: Fact[]): void {
  const selection = node.name ?? within
  if (!evaluate(node, event)) return
  if (node.op === 'not') collectExclusions(node.operand, event, node.name ?? node.operand.name, within, found)
  else if (node.op === 'match') {
    const place = node.field === null ? findKeyword(node, event) : undefined
    const value = place === undefined ? shownValue(node, event, true) : shorten(place.value)
    found.push({ selection, field: node.field ?? place?.path ?? '', test: node.text, value: value ?? '(absent)' })
  } else for (const operand of node.operands) collectFacts(operand, event, selection, found)
}

/** Why nothing took the event out: that the destination is none of those allowed is what on-call wants to see first. */
function collectExclusions(excluded: Condition, event: Event, name: string | undefined, selection: string, found: Fact[]): void {
  if (name === undefined) return
  const seen = new Set<string>()
  for (const leaf of leaves(excluded)) {
    const { field } = leaf
    const value = field === null || seen.has(field) ? undefined : shownValue(leaf, event, false)
    if (field === null || value === undefined) continue
    seen.add(field)
    found.push({ selection, field, test: `${field}: not among "${name}"`, value })
  }
}

/** The first condition that kept a rule from matching, undefined where it matches. @throws CordonError as evaluate */
export function firstFailure(rule: DetectionRule, event: Event, options: { readonly anyLogsource?: boolean } = {}): Failure | undefined {
  if (options.anyLogsource !== true && !appliesTo(rule.logsource, event.logsource)) {
    const tags = event.logsource.map(describeLogSource).join('; ')
    return {
      text: `log source differs: the rule is for ${describeLogSource(rule.logsource)}`,
      selection: 'logsource',
      value: tags || 'none',
      where: rule.where,
    }
  }
  return evaluate(rule.condition, event) ? undefined : failure(rule.condition, event, '', true, rule.where)
}

/**
 * Descends to the leaf that decided, where `node` is not what was `wanted`. Of an `and` that is the first operand that fails;
 * of an `or`, where all fail, the first stands for them and the text says how many there were.
 */
function failure(node: Condition, event: Event, within: string, wanted: boolean, where: Position): Failure {
  const selection = node.name ?? within
  if (node.op === 'not') return failure(node.operand, event, selection, !wanted, where)
  if (node.op === 'match') {
    const value = shownValue(node, event, !wanted)
    return { text: wanted ? node.text : `not ${node.text}`, selection, ...(value === undefined ? {} : { value }), where: node.where }
  }
  const wrong = node.operands.filter((operand) => evaluate(operand, event) !== wanted)
  const first = wrong[0]
  if (first === undefined) return { text: `${node.op} of nothing`, selection, where }
  const found = failure(first, event, selection, wanted, where)
  const alternatives = (node.op === 'or') === wanted ? wrong.length - 1 : 0
  return alternatives === 0
    ? found
    : { ...found, text: `${found.text} (nor ${alternatives} ${alternatives === 1 ? 'alternative' : 'alternatives'})` }
}

/** What the event has at a leaf's field: the element that meets the test, where one does, else all of it. Keywords show a value only if met. */
function shownValue(node: MatchNode, event: Event, met: boolean): string | undefined {
  const { read, test } = leafOf(node)
  const value = node.field === null && !met ? undefined : read(event)
  if (value === undefined) return undefined
  const element = met && Array.isArray(value) ? value.find((item) => test(item, event)) : undefined
  return shorten(element ?? value)
}

function shorten(value: Json): string {
  const text = textOf(value) ?? stringifyJson(value)
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE - 1)}…` : text
}

/** Where in the event a keyword was found: the path tells a responder more than that it was somewhere. */
function findKeyword(node: MatchNode, event: Event): { path: string; value: Json } | undefined {
  const { test } = leafOf(node)
  const search = (value: Json, path: string): { path: string; value: Json } | undefined => {
    if (Array.isArray(value)) return firstOf(value, (item) => search(item, path))
    if (isObject(value)) return searchObject(value, path)
    return test(value, event) ? { path, value } : undefined
  }
  const searchObject = (object: JsonObject, path: string) =>
    firstOf(Object.keys(object), (key) => search(object[key]!, path === '' ? key : `${path}.${key}`))
  return firstOf(searchedRecords(event), (record) => searchObject(record, ''))
}

function firstOf<Item, Found>(items: readonly Item[], find: (item: Item) => Found | undefined): Found | undefined {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}
