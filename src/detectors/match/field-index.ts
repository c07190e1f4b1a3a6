import type { Event } from '../../event/event.ts'
import type { FieldReader } from '../../event/field.ts'
import type { Json } from '../../event/json.ts'
import { LiteralIndex } from './literal-index.ts'
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
 * One field of an event, read at most once per event, and everything that rules ask of it, answered together: its literals in
 * one pass, its numbers and networks by hash, its presence for free.
 */
export class FieldIndex {
  /** The field's value in the event last looked at; an array where any element may be meant. */
  value: Json | undefined
  #generation = 0
  readonly #read: FieldReader
  readonly #truth: Truth
  readonly #present: readonly number[]
  readonly #exists: readonly number[]
  readonly #literals: LiteralIndex | undefined
  readonly #numbers: ReadonlyMap<number | bigint, number> | undefined
  readonly #networks: NetworkIndex | undefined

  constructor(read: FieldReader, entries: readonly Entry[], truth: Truth) {
    this.#read = read
    this.#truth = truth
    this.#present = predicatesOf(entries, 'present')
    this.#exists = predicatesOf(entries, 'exists')
    const literals = entriesOf(entries, 'literal')
    this.#literals = literals.length > 0 ? new LiteralIndex(literals.map(({ probe, predicate }) => ({ ...probe, predicate }))) : undefined
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
    this.#literals?.scan(text, this.#truth)
    this.#networks?.find(text, this.#truth)
  }

  #number(value: Json, numbers: ReadonlyMap<number | bigint, number>): void {
    const number = equalNumber(value)
    const predicate = number === undefined ? undefined : numbers.get(number)
    if (predicate !== undefined) this.#truth.set(predicate)
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
