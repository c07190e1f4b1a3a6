import type { Event } from '../../event/event.ts'
import type { FieldReader } from '../../event/field.ts'
import type { Json } from '../../event/json.ts'
import { type Literal, LiteralIndex } from './automaton.ts'
import { fold } from './fold.ts'
import type { Probe } from './lower.ts'
import { type Address, maskBigint, maskNumber, type Network, parseAddress } from './network.ts'
import type { Truth } from './truth.ts'
import { equalNumber } from './value.ts'

/** A probe and the predicate that holds where it finds something. */
export interface Entry {
  readonly probe: Probe
  readonly predicate: number
}

type ProbeOf<Kind extends Probe['kind']> = Extract<Probe, { kind: Kind }>

/**
 * One field of an event, read at most once per event, and everything that rules ask of it, answered together: its literals by one
 * automaton (or by a hash where all are equalities), its numbers and networks by hash, its presence for free.
 */
export class FieldIndex {
  /** The field's value in the event last looked at; an array where any element may be meant. */
  value: Json | undefined
  #generation = 0
  readonly #read: FieldReader
  readonly #truth: Truth
  readonly #present: readonly number[]
  readonly #exists: readonly number[]
  readonly #empty: readonly number[]
  readonly #equal: EqualTexts | undefined
  readonly #literals: LiteralIndex | undefined
  readonly #numbers: ReadonlyMap<number | bigint, number> | undefined
  readonly #networks: NetworkIndex | undefined

  constructor(read: FieldReader, entries: readonly Entry[], truth: Truth) {
    this.#read = read
    this.#truth = truth
    this.#present = predicatesOf(entries, 'present')
    this.#exists = predicatesOf(entries, 'exists')
    const literals = entriesOf(entries, 'literal').map(({ probe, predicate }): Literal => ({ ...probe, predicate }))
    this.#empty = literals.filter(({ text }) => text === '').map(({ predicate }) => predicate)
    const texts = literals.filter(({ text }) => text !== '')
    const onlyEqual = texts.every(({ start, end }) => start && end)
    this.#equal = onlyEqual && texts.length > 0 ? new EqualTexts(texts) : undefined
    this.#literals = onlyEqual ? undefined : new LiteralIndex(texts)
    const numbers = entriesOf(entries, 'number')
    this.#numbers = numbers.length > 0 ? new Map(numbers.map(({ probe, predicate }) => [probe.value, predicate])) : undefined
    const networks = entriesOf(entries, 'network')
    this.#networks = networks.length > 0 ? new NetworkIndex(networks) : undefined
  }

  /** Reads the field and sets all predicates of it that the index can decide. */
  look(event: Event): void {
    if (this.#generation === this.#truth.generation) return
    this.#generation = this.#truth.generation
    const value = this.#read(event)
    this.value = value
    if (value === undefined) return
    for (const predicate of this.#exists) this.#truth.set(predicate)
    this.#element(value)
  }

  #element(value: Json): void {
    if (value === null) return
    if (Array.isArray(value)) {
      for (const element of value) this.#element(element)
      return
    }
    for (const predicate of this.#present) this.#truth.set(predicate)
    if (typeof value === 'string') this.#text(value)
    else if (typeof value !== 'object') this.#text(String(value))
    if (this.#numbers !== undefined) this.#number(value, this.#numbers)
  }

  #text(text: string): void {
    if (text === '') for (const predicate of this.#empty) this.#truth.set(predicate)
    if (this.#literals !== undefined) this.#literals.scan(text, this.#truth)
    else if (this.#equal !== undefined) this.#equal.find(text, this.#truth)
    if (this.#networks !== undefined) this.#networks.find(text, this.#truth)
  }

  #number(value: Json, numbers: ReadonlyMap<number | bigint, number>): void {
    const number = equalNumber(value)
    const predicate = number === undefined ? undefined : numbers.get(number)
    if (predicate !== undefined) this.#truth.set(predicate)
  }
}

/** Folded texts by hash. Only values of a length that occurs are folded and looked up. */
class EqualTexts {
  readonly #predicates: ReadonlyMap<string, number>
  readonly #shortest: number
  readonly #longest: number

  constructor(literals: readonly Literal[]) {
    this.#predicates = new Map(literals.map(({ text, predicate }) => [text, predicate]))
    this.#shortest = literals.reduce((length, { text }) => Math.min(length, text.length), Number.POSITIVE_INFINITY)
    this.#longest = literals.reduce((length, { text }) => Math.max(length, text.length), 0)
  }

  find(text: string, truth: Truth): void {
    if (text.length < this.#shortest || text.length > this.#longest) return
    const predicate = this.#predicates.get(fold(text))
    if (predicate !== undefined) truth.set(predicate)
  }
}

/** CIDR networks by prefix length and masked address: one look-up per length that occurs, however many networks there are. */
class NetworkIndex {
  readonly #v4: { readonly prefix: number; readonly predicates: Map<number, number> }[] = []
  readonly #v6: { readonly prefix: number; readonly predicates: Map<bigint, number> }[] = []

  constructor(networks: readonly { readonly probe: ProbeOf<'network'>; readonly predicate: number }[]) {
    for (const { probe, predicate } of networks) this.#add(probe.network, predicate)
  }

  find(text: string, truth: Truth): void {
    const address = parseAddress(text)
    if (address !== undefined) this.#findAddress(address, truth)
  }

  #findAddress(address: Address, truth: Truth): void {
    if (address.bits === 32) {
      for (const { prefix, predicates } of this.#v4) {
        const predicate = predicates.get(maskNumber(address.value, prefix))
        if (predicate !== undefined) truth.set(predicate)
      }
      return
    }
    for (const { prefix, predicates } of this.#v6) {
      const predicate = predicates.get(maskBigint(address.value, prefix))
      if (predicate !== undefined) truth.set(predicate)
    }
  }

  #add(network: Network, predicate: number): void {
    if (network.bits === 32) sizeOf(this.#v4, network.prefix).set(network.value, predicate)
    else sizeOf(this.#v6, network.prefix).set(network.value, predicate)
  }
}

function sizeOf<Value>(sizes: { prefix: number; predicates: Map<Value, number> }[], prefix: number): Map<Value, number> {
  const known = sizes.find((size) => size.prefix === prefix)
  if (known !== undefined) return known.predicates
  const predicates = new Map<Value, number>()
  sizes.push({ prefix, predicates })
  return predicates
}

function entriesOf<Kind extends Probe['kind']>(entries: readonly Entry[], kind: Kind): { probe: ProbeOf<Kind>; predicate: number }[] {
  return entries.flatMap(({ probe, predicate }) => (probe.kind === kind ? [{ probe: probe as ProbeOf<Kind>, predicate }] : []))
}

function predicatesOf(entries: readonly Entry[], kind: Probe['kind']): number[] {
  return entriesOf(entries, kind).map(({ predicate }) => predicate)
}
