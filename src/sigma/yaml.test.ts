import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseYaml, toData, type YamlNode, type YamlScalar } from './yaml.ts'

const scalars = (node: YamlNode): YamlScalar[] =>
  node.kind === 'scalar'
    ? [node]
    : node.kind === 'list'
      ? node.items.flatMap(scalars)
      : node.entries.flatMap(({ key, value }) => [key, ...scalars(value)])

test('every character of a plain or quoted scalar knows its place', () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9_|.-]{0,8}$/).filter((text) => !['y', 'n', 'null', 'true', 'false'].includes(text))
  const item = fc.tuple(word, word, fc.constantFrom('', "'", '"'))
  fc.assert(
    fc.property(
      fc.uniqueArray(item, { selector: ([key]) => key, minLength: 1, maxLength: 5 }),
      fc.boolean(),
      fc.nat(3),
      (items, flow, blank) => {
        const pairs = items.map(([key, value, quote]) => `${key}: ${quote}${value}${quote}`)
        const text = `${'\n'.repeat(blank)}${flow ? `{ ${pairs.join(', ')} }` : pairs.join('\n')}\n`
        const lines = text.split('\n')
        const [document] = parseYaml('f.yml', text)
        const found = scalars(document!.root!)
        expect(found.map((scalar) => scalar.text)).toEqual(items.flatMap((item) => item.slice(0, 2)))
        for (const scalar of found) {
          for (let index = 0; index < scalar.text.length; index++) {
            const { line, column } = scalar.at(index)
            expect(lines[line - 1]![column - 1]).toBe(scalar.text[index])
          }
        }
      },
    ),
  )
})

test('positions of later documents are those of the file', () => {
  const [, second] = parseYaml('f.yml', 'a: 1\n---\n# comment\nb:\n  c: x\n')
  const [b, c] = scalars(second!.root!)
  expect([b!.position, c!.position]).toEqual([
    { file: 'f.yml', line: 4, column: 1 },
    { file: 'f.yml', line: 5, column: 3 },
  ])
})

test('numbers are exact, and text stays as it was written', () => {
  const [document] = parseYaml(
    'f',
    'a: 18446744073709551615\nb: -9007199254740993\nc: 1.5\nd: 2026-01-01\ne: no\nf: 0o17\ng: 1e999\nh: "007"\n',
  )
  expect(toData(document!.root!)).toEqual({
    a: 18446744073709551615n,
    b: -9007199254740993n,
    c: 1.5,
    d: '2026-01-01',
    e: 'no',
    f: 15,
    g: '1e999',
    h: '007',
  })
  expect(scalars(document!.root!).map(({ text }) => text)).toContain('18446744073709551615')
})

test('an alias is its anchor, and a bomb of them is refused before it grows', () => {
  const [document] = parseYaml('f', 'a: &x {b: 1}\nc: *x\n')
  expect(toData(document!.root!)).toEqual({ a: { b: 1 }, c: { b: 1 } })
  const level = (name: string, of: string) => `${name}: &${name} [${Array.from({ length: 9 }, () => `*${of}`).join(', ')}]\n`
  const bomb = `a: &a [x]\n${'bcdefghij'
    .split('')
    .map((name, index) => level(name, 'abcdefghi'[index]!))
    .join('')}`
  const [refused] = parseYaml('f', bomb)
  expect(refused!.root).toBeUndefined()
  expect(refused!.problems.found.map(({ code }) => code)).toEqual(['SIGMA-YAML-ALIAS'])
})

test('a byte order mark and carriage returns move nothing', () => {
  const [document] = parseYaml('f', '\ufeffa: 1\r\nb:\r\n  c: x\r\n')
  expect(
    scalars(document!.root!)
      .map(({ position }) => [position.line, position.column])
      .slice(-1),
  ).toEqual([[3, 6]])
})
