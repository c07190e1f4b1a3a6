import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fold } from './fold.ts'
import { LiteralIndex } from './literal-index.ts'
import { Truth } from './truth.ts'

/** Few letters and long texts, so that literals overlap, are parts of each other, and are found after skipping. */
const textOf = (letters: readonly string[], minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...letters), minLength, maxLength })
const alphabets = [
  ['a', 'b'],
  ['a', 'b', 'C', '\\', '.'],
  ['a', 'ß', 'É', '😀', '𐐀', '𐐨', '\u212a', 'k'],
]

const indexes = fc.constantFrom(...alphabets).chain((letters) =>
  fc.tuple(
    fc.integer({ min: 0, max: 6 }).chain((shortest) =>
      fc.uniqueArray(fc.record({ text: textOf(letters, shortest, shortest + 12).map(fold), start: fc.boolean(), end: fc.boolean() }), {
        minLength: 1,
        maxLength: 40,
        selector: ({ text, start, end }) => `${start} ${end} ${text}`,
      }),
    ),
    fc.array(textOf([...letters, 'z', 'é', 'ẞ'], 0, 60), { minLength: 1, maxLength: 4 }),
    fc.nat(),
  ),
)

test('finds exactly the literals that stand where they must', () => {
  fc.assert(
    fc.property(indexes, ([chosen, strangers, seed]) => {
      const literals = chosen.filter(({ text, start, end }) => text !== '' || (start && end))
      const index = new LiteralIndex(literals.map((literal, predicate) => ({ ...literal, predicate })))
      const truth = new Truth(new Uint8Array(literals.length))
      const planted = strangers.map(
        (stranger, at) => stranger + (literals[(seed + at) % (literals.length || 1)]?.text.toUpperCase() ?? '') + stranger.slice(at % 3),
      )
      for (const value of [...strangers, ...planted, ...literals.map(({ text }) => text)]) {
        truth.next()
        index.scan(value, truth)
        const text = fold(value)
        const expected = literals.map((literal) => {
          if (literal.start && literal.end) return text === literal.text
          return literal.start ? text.startsWith(literal.text) : literal.end ? text.endsWith(literal.text) : text.includes(literal.text)
        })
        expect(literals.map((_, predicate) => truth.has(predicate))).toEqual(expected)
      }
    }),
    { numRuns: 2000 },
  )
})

test('stays right where states have no row of their own and fall back far from the root', () => {
  // Every third stretch of one random text: where one ends, the next is under way already.
  let seed = 1
  const letters = Array.from({ length: 20_000 }, () => {
    seed = (seed * 48271) % 0x7fffffff
    return seed & 64 ? 'a' : 'b'
  })
  const text = letters.join('')
  const literals = Array.from({ length: 6000 }, (_, index) => text.slice(index * 3, index * 3 + 20))
  const index = new LiteralIndex(literals.map((literal, predicate) => ({ text: literal, start: false, end: false, predicate })))
  const truth = new Truth(new Uint8Array(literals.length))
  const stretches = fc.tuple(fc.nat(17_000), fc.nat(80)).map(([from, length]) => text.slice(from, from + length))
  fc.assert(
    fc.property(fc.array(stretches, { maxLength: 3 }), (pieces) => {
      const value = pieces.join('')
      truth.next()
      index.scan(value, truth)
      expect(literals.filter((_, predicate) => truth.has(predicate))).toEqual(literals.filter((literal) => value.includes(literal)))
    }),
  )
})
