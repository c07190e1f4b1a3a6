import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { duration } from './duration.ts'
import { readSettings } from './settings-file.ts'

const schema = z.strictObject({ name: z.string().optional(), list: z.array(z.strictObject({ size: z.number() })).default([]) })
const mistakes = { notYaml: 'X_YAML', invalid: 'X_INVALID', hint: 'read the page' }
const read = (text: string) => readSettings('x.yml', text, schema, mistakes)

function problemOf(text: string): CordonError {
  try {
    read(text)
  } catch (error) {
    if (error instanceof CordonError) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('a file of settings', () => {
  test('may say nothing, in YAML or JSON', () => {
    for (const text of ['', '# only a comment\n', '---\n', '{}']) expect(read(text).data).toEqual({ list: [] })
  })

  test('knows the place of what it says, and of what it might have said', () => {
    const { at } = read('name: a\nlist:\n  - size: 1\n  - { size: 2 }\n')
    expect(at(['list', 1, 'size'])).toEqual({ file: 'x.yml', line: 4, column: 13 })
    expect(at(['list', 1, 'weight'])).toEqual({ file: 'x.yml', line: 4, column: 5 })
    expect(at(['other'])).toEqual({ file: 'x.yml', line: 1, column: 1 })
  })

  test.each([
    ['list: [\n', 'X_YAML'],
    ['name: *nothing\n', 'X_YAML'],
    [
      `a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 9 }, (_, n) => `a${n + 1}: &a${n + 1} [${`*a${n}, `.repeat(10)}]`).join('\n')}\n`,
      'X_YAML',
    ],
    ['name: 3\n', 'X_INVALID'],
    ['nmae: a\n', 'X_INVALID'],
    ['- 1\n', 'X_INVALID'],
  ])('%j is refused', (text, code) => {
    const error = problemOf(text)
    expect([error.code, error.where?.file]).toEqual([code, 'x.yml'])
    expect(error.hint).toBeTruthy()
  })

  test('names every mistake, each with its place', () => {
    const error = problemOf('name: 3\nlist:\n  - sise: 1\n')
    expect(error.where).toMatchObject({ line: 1, column: 7 })
    expect(error.message.split('\n').slice(1)).toEqual([
      expect.stringMatching(/^x\.yml:3:5 list\.0\.size: /),
      expect.stringMatching(/^x\.yml:3:11 .*sise/),
    ])
  })

  test('of whatever text is read, or refused as such', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab:-[]{}&*!|>"\'\n #,'), maxLength: 40 }), (text) => {
        try {
          read(text)
        } catch (error) {
          expect(error).toBeInstanceOf(CordonError)
          expect((error as CordonError).where!.line).toBeGreaterThan(0)
        }
      }),
    )
  })
})

test.each([
  ['500ms', 500],
  ['90s', 90_000],
  ['15m', 900_000],
  ['1h', 3_600_000],
  ['7d', 604_800_000],
])('%s is %d milliseconds', (text, expected) => {
  expect(duration.parse(text)).toBe(expected)
})

test.each(['', '5', 's', '1.5h', '-1h', '1w', '1 h', '1H'])('%j is no length of time', (text) => {
  expect(duration.safeParse(text).error?.issues[0]?.message).toMatch(/such as/)
})
