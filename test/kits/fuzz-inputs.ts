import fc from 'fast-check'
import { type Json, type JsonObject, setOwn } from '../../src/event/json.ts'
import { NORMALISERS } from '../../src/normalise/index.ts'

/** Inputs over all sources, by which their parsers are tried: those of CI, or as many as `npm run fuzz` asks for. */
const INPUTS = Number(process.env.CORDON_FUZZ_INPUTS ?? 20_000)

/** The part of them that one property of one source gets. */
export function shareOf(part: number): { readonly numRuns: number; readonly endOnFailure: true } {
  return { numRuns: Math.ceil((INPUTS * part) / NORMALISERS.length), endOnFailure: true }
}

/** Milliseconds that a property may take before it counts as hung: a hundred times what it needs. */
export const FUZZ_TIMEOUT = 20_000 + INPUTS * 10

/** Edits of a text: where (counted through), how much is taken out, and what is put in. */
export const edits = fc.array(fc.record({ place: fc.nat(), removed: fc.nat(40), inserted: fc.string({ unit: 'binary' }) }), {
  minLength: 1,
  maxLength: 3,
})

const hostileName = fc.constantFrom(
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'a.b',
  'event',
  'host.name',
  'process.pid',
  '',
  ' ',
  '@timestamp',
  'native',
  'logsource',
  'otel',
  'attributes',
  'key',
  'value',
  'type',
  'name',
)
const scalar: fc.Arbitrary<Json> = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom<Json>(
    '',
    null,
    true,
    false,
    0,
    -1,
    1e21,
    2n ** 63n,
    'NaN',
    '0',
    '-',
    '{"file_path":"/a',
    '{"cmd":["bash","-lc","cat /x',
    '2026-13-45T99:99:99Z',
    '9'.repeat(40),
    '../../etc/passwd',
    '\u0000',
    '\ud800',
  ),
)
const value: fc.Arbitrary<Json> = fc.letrec<{ node: Json }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('node'), { maxLength: 3 }),
    fc.array(fc.tuple(fc.oneof(hostileName, fc.string()), tie('node')), { maxLength: 3 }).map((pairs) => {
      const object: JsonObject = {}
      for (const [name, inner] of pairs) setOwn(object, name, inner)
      return object
    }),
  ),
})).node

/** One change of a record: at one of its places, counted through. */
export type Mutation = { readonly kind: 'replace' | 'add' | 'remove'; readonly at: number; readonly name: string; readonly value: Json }
export const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('replace' as const, 'add' as const, 'remove' as const),
  at: fc.nat(),
  name: hostileName,
  value,
})

/** Changes the record in place. */
export function mutate(record: JsonObject, { kind, at, name, value: with_ }: Mutation): void {
  const places: [holder: JsonObject | Json[], key: string | number][] = []
  const visit = (node: Json): void => {
    if (typeof node !== 'object' || node === null) return
    for (const key of Object.keys(node)) {
      places.push([node as JsonObject, key])
      visit((node as JsonObject)[key]!)
    }
  }
  visit(record)
  if (places.length === 0) return
  const [holder, key] = places[at % places.length]!
  if (kind === 'remove') {
    if (Array.isArray(holder)) holder.splice(Number(key), 1)
    else delete (holder as JsonObject)[key]
  } else if (kind === 'replace') {
    if (Array.isArray(holder)) holder[Number(key)] = with_
    else setOwn(holder, String(key), with_)
  } else if (!Array.isArray(holder) && !Object.hasOwn(holder, name)) setOwn(holder, name, with_)
}
