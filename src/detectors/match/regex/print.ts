import type { CharacterSet, Regex } from './parse.ts'

/** An engine's spelling of what the engines spell differently. */
interface Dialect {
  readonly point: (hex: string) => string
  readonly property: (name: string) => string
  readonly edges: Readonly<Record<Extract<Regex, { kind: 'edge' }>['at'], string>>
}

/** JavaScript with the `u` flag. Lines end at a line feed only, as in RE2; JavaScript's own `m` has three other ends. */
export const JAVASCRIPT: Dialect = {
  point: (hex) => `\\u{${hex}}`,
  property: (name) => (name.length <= 2 ? name : `Script=${name}`),
  edges: { start: '^', end: '$', 'line-start': '(?<![^\\n])', 'line-end': '(?![^\\n])', word: '\\b', 'not-word': '\\B' },
}

export const RE2: Dialect = {
  point: (hex) => `\\x{${hex}}`,
  property: (name) => name,
  edges: { start: '\\A', end: '\\z', 'line-start': '(?m:^)', 'line-end': '(?m:$)', word: '\\b', 'not-word': '\\B' },
}

/** The source of a tree for one engine. Printed from one tree, an expression means the same in both. */
export function printRegex(regex: Regex, dialect: Dialect): string {
  switch (regex.kind) {
    case 'set':
      return regex.ignoreCase ? `(?i:${printSet(regex, dialect)})` : printSet(regex, dialect)
    case 'edge':
      return dialect.edges[regex.at]
    case 'sequence':
      return printSequence(regex.items, dialect)
    case 'choice':
      return `(?:${regex.items.map((item) => printRegex(item, dialect)).join('|')})`
    case 'repeat':
      return `${printRepeated(regex.item, dialect)}${printBounds(regex.min, regex.max)}${regex.lazy ? '?' : ''}`
    case 'capture':
      return `(${regex.name === undefined ? '' : `?<${regex.name}>`}${printRegex(regex.item, dialect)})`
    case 'look':
      return `(?${regex.behind ? '<' : ''}${regex.negative ? '!' : '='}${printRegex(regex.item, dialect)})`
    case 'backreference':
      return /^\d/.test(regex.to) ? `(?:\\${regex.to})` : `\\k<${regex.to}>`
  }
}

/** Neighbours that ignore case share one group, so that an engine sees whole literals. */
function printSequence(items: readonly Regex[], dialect: Dialect): string {
  let printed = ''
  let folded = ''
  const flush = () => {
    if (folded !== '') printed += `(?i:${folded})`
    folded = ''
  }
  for (const item of items) {
    if (item.kind === 'set' && item.ignoreCase) folded += printSet(item, dialect)
    else {
      flush()
      printed += printRegex(item, dialect)
    }
  }
  flush()
  return printed
}

function printRepeated(item: Regex, dialect: Dialect): string {
  const printed = printRegex(item, dialect)
  return item.kind === 'set' || item.kind === 'capture' || item.kind === 'choice' ? printed : `(?:${printed})`
}

function printBounds(min: number, max: number): string {
  if (max === Number.POSITIVE_INFINITY) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`
  if (min === 0 && max === 1) return '?'
  return min === max ? `{${min}}` : `{${min},${max}}`
}

function printSet({ negated, ranges, properties }: CharacterSet, dialect: Dialect): string {
  const [only] = ranges
  if (!negated && properties.length === 0 && ranges.length === 1 && only![0] === only![1]) return printPoint(only![0], dialect)
  const spans = ranges.map(([first, last]) =>
    first === last ? printPoint(first, dialect) : `${printPoint(first, dialect)}-${printPoint(last, dialect)}`,
  )
  const named = properties.map((property) => `\\${property.negated ? 'P' : 'p'}{${dialect.property(property.name)}}`)
  return `[${negated ? '^' : ''}${spans.join('')}${named.join('')}]`
}

function printPoint(point: number, dialect: Dialect): string {
  const character = String.fromCodePoint(point)
  return /[0-9A-Za-z_]/.test(character) ? character : dialect.point(point.toString(16))
}
