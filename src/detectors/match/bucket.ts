import type { Event } from '../../event/event.ts'
import { type Entry, FieldIndex } from './field-index.ts'
import { compileReader, type ValueTest } from './leaf.ts'
import type { Expression, Predicate } from './lower.ts'
import { ACCEPT, assemble } from './program.ts'
import { Truth } from './truth.ts'
import { witnesses } from './witness.ts'

/** A rule of the rule set, by its place there, ready to be indexed. */
export interface IndexedRule {
  readonly rule: number
  readonly expression: Expression
}

/** No field has to be looked at: the index did so before any rule was asked. */
const LOOKED_AT = -1

/**
 * The rules for one kind of event, and one index from what an event contains to those of them that could match. Per event: look at
 * the fields that hold witnesses, run the rules whose witnesses were found. Other fields are looked at when a rule asks.
 */
export class Bucket {
  readonly #rules: Int32Array
  /** Per rule, the address of its program in `#code`. */
  readonly #start: Int32Array
  readonly #code: Int32Array
  /** Per predicate, the rules that it is a witness of: `#wokenRules[#wokenStart[p] … #wokenStart[p + 1])`. */
  readonly #wokenStart: Int32Array
  readonly #wokenRules: Int32Array
  /** Rules that no witness announces. */
  readonly #always: Int32Array
  /** Per rule, the generation in which it was run last. */
  readonly #ran: Float64Array
  readonly #truth: Truth
  readonly #fields: readonly FieldIndex[]
  readonly #eager: readonly FieldIndex[]
  /** Per predicate, the field to look at before asking. */
  readonly #lazyField: Int32Array
  /** Per predicate, the field that it is about. */
  readonly #fieldOf: Int32Array
  /** Predicates from here on are slow: tested when asked, once per event. */
  readonly #firstSlow: number
  readonly #slowTests: readonly ValueTest[]
  readonly #asked: Float64Array

  /** @param rules in ascending order */
  constructor(rules: readonly IndexedRule[]) {
    const predicates = predicatesOf(rules)
    const numbers = new Map(predicates.map((predicate, index) => [predicate, index]))
    const numberOf = (predicate: Predicate) => numbers.get(predicate)!

    const code: number[] = []
    this.#rules = Int32Array.from(rules, ({ rule }) => rule)
    this.#start = Int32Array.from(rules, ({ expression }) => assemble(expression, numberOf, code))
    this.#code = Int32Array.from(code)
    this.#ran = new Float64Array(rules.length)

    const wokenBy: number[][] = predicates.map(() => [])
    const always: number[] = []
    rules.forEach(({ expression }, rule) => {
      const found = witnesses(expression)
      if (found === undefined) always.push(rule)
      else for (const predicate of new Set(found)) wokenBy[numberOf(predicate)]!.push(rule)
    })
    this.#always = Int32Array.from(always)
    this.#wokenRules = Int32Array.from(wokenBy.flat())
    this.#wokenStart = new Int32Array(predicates.length + 1)
    wokenBy.forEach((list, predicate) => {
      this.#wokenStart[predicate + 1] = this.#wokenStart[predicate]! + list.length
    })
    this.#truth = new Truth(Uint8Array.from(wokenBy, (list) => (list.length > 0 ? 1 : 0)))

    const byField = Map.groupBy(predicates, ({ field }) => field)
    const names = [...byField.keys()]
    this.#fields = names.map((name) => {
      const entries = byField.get(name)!.map((predicate): Entry => ({ probe: predicate.probe, predicate: numberOf(predicate) }))
      return new FieldIndex(compileReader(name), entries, this.#truth)
    })
    const wakes = names.map((name) => byField.get(name)!.some((predicate) => wokenBy[numberOf(predicate)]!.length > 0))
    this.#eager = this.#fields.filter((_, field) => wakes[field])
    this.#fieldOf = Int32Array.from(predicates, ({ field }) => names.indexOf(field))
    this.#lazyField = this.#fieldOf.map((field) => (wakes[field] ? LOOKED_AT : field))

    const firstSlow = predicates.findIndex(({ probe }) => probe.kind === 'slow')
    this.#firstSlow = firstSlow < 0 ? predicates.length : firstSlow
    this.#slowTests = predicates.flatMap(({ probe }) => (probe.kind === 'slow' ? [probe.test] : []))
    this.#asked = new Float64Array(this.#slowTests.length)
  }

  /** Appends the matching rules to `matches`, ascending. */
  match(event: Event, matches: number[]): void {
    const truth = this.#truth
    truth.next()
    for (const field of this.#eager) field.look(event)
    for (let index = 0; index < truth.wokenCount; index++) {
      const predicate = truth.woken[index]!
      const end = this.#wokenStart[predicate + 1]!
      for (let at = this.#wokenStart[predicate]!; at < end; at++) this.#run(this.#wokenRules[at]!, event, matches)
    }
    for (const rule of this.#always) this.#run(rule, event, matches)
    if (matches.length > 1) matches.sort(ascending)
  }

  #run(rule: number, event: Event, matches: number[]): void {
    if (this.#ran[rule] === this.#truth.generation) return
    this.#ran[rule] = this.#truth.generation
    const code = this.#code
    let at = this.#start[rule]!
    while (at >= 0) at = this.#holds(code[at]!, event) ? code[at + 1]! : code[at + 2]!
    if (at === ACCEPT) matches.push(this.#rules[rule]!)
  }

  #holds(predicate: number, event: Event): boolean {
    const field = this.#lazyField[predicate]!
    if (field !== LOOKED_AT) this.#fields[field]!.look(event)
    if (predicate >= this.#firstSlow) this.#ask(predicate, event)
    return this.#truth.has(predicate)
  }

  #ask(predicate: number, event: Event): void {
    const slow = predicate - this.#firstSlow
    if (this.#asked[slow] === this.#truth.generation) return
    this.#asked[slow] = this.#truth.generation
    if (this.#slowTests[slow]!(this.#fields[this.#fieldOf[predicate]!]!.value, event)) this.#truth.set(predicate)
  }
}

const ascending = (a: number, b: number) => a - b

/** The distinct predicates of all rules, those that the index answers before the slow ones. */
function predicatesOf(rules: readonly IndexedRule[]): Predicate[] {
  const found = new Set<Predicate>()
  const visit = (node: Expression): void => {
    if (node.op === 'predicate') found.add(node.predicate)
    else if (node.op === 'not') visit(node.operand)
    else for (const operand of node.operands) visit(operand)
  }
  for (const { expression } of rules) visit(expression)
  return [...found].sort((a, b) => Number(a.probe.kind === 'slow') - Number(b.probe.kind === 'slow'))
}
