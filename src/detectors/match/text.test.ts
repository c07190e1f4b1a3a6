import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { PatternPart } from '../../sigma/ast.ts'
import { compileText } from './text.ts'

const letters = fc.constantFrom('a', 'A', 'b', 'é', 'É', 'σ', 'ς', '😀', '\n', '.', '*')
const words = fc.string({ unit: letters, maxLength: 3 })
const parts = fc.array(fc.oneof(words, fc.constantFrom<PatternPart>({ wildcard: '*' }, { wildcard: '?' })), { maxLength: 6 })

const asRegex = (pattern: readonly PatternPart[], cased: boolean) => {
  const sources = pattern.map((part) =>
    typeof part !== 'string' ? (part.wildcard === '*' ? '[^]*' : '[^]') : part.replace(/[.*]/g, '\\$&'),
  )
  return new RegExp(`^(?:${sources.join('')})$`, cased ? 'u' : 'iu')
}

test('wildcards mean what an expression of the same shape means', () => {
  fc.assert(
    fc.property(parts, fc.boolean(), fc.string({ unit: letters, maxLength: 8 }), (pattern, cased, text) => {
      expect(compileText({ kind: 'text', parts: pattern, cased })(text)).toBe(asRegex(pattern, cased).test(text))
    }),
    { numRuns: 20_000 },
  )
})

test('many wildcards take linear time', () => {
  const star: PatternPart = { wildcard: '*' }
  const pattern = [...Array.from({ length: 30 }).flatMap((): PatternPart[] => [star, 'a']), star, 'b']
  const matches = compileText({ kind: 'text', parts: pattern, cased: false })
  const start = performance.now()
  expect(matches('a'.repeat(1_000_000))).toBe(false)
  expect(performance.now() - start).toBeLessThan(500)
})
