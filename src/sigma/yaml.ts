import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, parseAllDocuments, Schema } from 'yaml'
import { messageOf, type Position } from '../event/error.ts'
import { type Json, type JsonObject, setOwn } from '../event/json.ts'
import { fail, Problems } from './problems.ts'

/** A YAML document as a tree in which every node, keys too, knows its place. Aliases are followed, numbers are exact. */
export type YamlNode = YamlMap | YamlList | YamlScalar

interface YamlBase {
  readonly position: Position
}
export interface YamlMap extends YamlBase {
  readonly kind: 'map'
  readonly entries: readonly YamlEntry[]
}
export interface YamlEntry {
  readonly key: YamlScalar
  readonly value: YamlNode
}
export interface YamlList extends YamlBase {
  readonly kind: 'list'
  readonly items: readonly YamlNode[]
}
export interface YamlScalar extends YamlBase {
  readonly kind: 'scalar'
  /** By YAML 1.2's core schema: `no` and `2026-01-01` are text. Integers beyond 2^53 are bigint. */
  readonly value: null | boolean | number | bigint | string
  /** The scalar as text: what was written, without quotes. */
  readonly text: string
  /** The place of the character at `index` of `text`; that of the scalar where quoting or folding moved it. */
  at(index: number): Position
}

export interface YamlDocument {
  readonly root: YamlNode | undefined
  readonly problems: Problems
}

/** Documents are written by people; deeper than this is a mistake or an attack. */
const MAX_DEPTH = 64
/** Nodes that a document may gain through its aliases: nine lines of them can stand for a billion. */
const MAX_ALIASED = 100_000

const MAX_ERRORS = 3

const schema = new Schema({ schema: 'core', merge: false })

/**
 * Reads the YAML documents of a file. A document that is no YAML has its errors in `problems` and no root; those after it
 * are read all the same. Empty documents are left out.
 */
export function parseYaml(file: string, text: string): YamlDocument[] {
  const position = positions(file, text)
  try {
    const documents = parseAllDocuments(text, { schema, intAsBigInt: true, uniqueKeys: false, prettyErrors: false })
    return [...documents].flatMap((document) => {
      const problems = new Problems()
      // One slip makes the parser stumble again and again: what comes after the first few says nothing.
      for (const error of document.errors.slice(0, MAX_ERRORS))
        problems.error('SIGMA-YAML', position(error.pos[0]), error.message, hintFor(error.code))
      if (problems.failed) return [{ root: undefined, problems }]
      if (document.contents === null || isEmpty(document.contents)) return []
      const reader = new Reader(text, position)
      return [{ root: problems.attempt(() => reader.read(document.contents as Node, 0)), problems }]
    })
  } catch (error) {
    // The parser recurses: a text of nothing but brackets exhausts its stack before any limit of ours can see it.
    const problems = new Problems()
    problems.error('SIGMA-YAML', { file, line: 1, column: 1 }, `not YAML that can be read: ${messageOf(error)}`)
    return [{ root: undefined, problems }]
  }
}

/** Line and column of an offset. The parser's own counter misses line breaks within text that it gives up on. */
function positions(file: string, text: string): (offset: number) => Position {
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return (offset) => {
    const at = Math.min(offset, text.length)
    let low = 0
    let high = starts.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (starts[middle]! <= at) low = middle
      else high = middle
    }
    return { file, line: low + 1, column: at - starts[low]! + 1 }
  }
}

/** The entry of a map by its key. */
export function entryOf(map: YamlMap, key: string): YamlEntry | undefined {
  return map.entries.find((entry) => entry.key.text === key)
}

/** The value of a map's key; undefined where it is absent or null. */
export function get(map: YamlMap, key: string): YamlNode | undefined {
  const value = entryOf(map, key)?.value
  return value === undefined || isNull(value) ? undefined : value
}

export function isNull(node: YamlNode): boolean {
  return node.kind === 'scalar' && node.value === null
}

/** The tree as plain data. */
export function toData(node: YamlNode): Json {
  if (node.kind === 'scalar') return node.value
  if (node.kind === 'list') return node.items.map(toData)
  const object: JsonObject = {}
  for (const { key, value } of node.entries) setOwn(object, key.text, toData(value))
  return object
}

/** The deepest node on a path of keys and indexes that exists. */
export function nodeAt(node: YamlNode, path: readonly PropertyKey[]): YamlNode {
  const [step, ...rest] = path
  if (step === undefined) return node
  const next = node.kind === 'list' ? node.items[Number(step)] : node.kind === 'map' ? entryOf(node, String(step))?.value : undefined
  return next === undefined ? node : nodeAt(next, rest)
}

/** Turns the parser's tree into ours. */
class Reader {
  readonly #text: string
  readonly #position: (offset: number) => Position
  /** What an anchor stands for, and how many nodes that is. */
  readonly #anchors = new Map<string, { node: YamlNode; nodes: number }>()
  #nodes = 0
  #aliased = 0

  constructor(text: string, position: (offset: number) => Position) {
    this.#text = text
    this.#position = position
  }

  read(node: Node, depth: number): YamlNode {
    const offset = node.range?.[0] ?? 0
    const position = this.#position(offset)
    if (depth > MAX_DEPTH) fail('SIGMA-YAML-DEPTH', position, `nested deeper than ${MAX_DEPTH} levels`)
    if (isAlias(node)) return this.#follow(node.source, position)
    const before = this.#nodes
    this.#nodes++
    const result = this.#convert(node, depth, offset, position)
    const anchor = isScalar(node) || isMap(node) || isSeq(node) ? node.anchor : undefined
    if (anchor !== undefined) this.#anchors.set(anchor, { node: result, nodes: this.#nodes - before })
    return result
  }

  #convert(node: Node, depth: number, offset: number, position: Position): YamlNode {
    if (isMap(node)) return { kind: 'map', position, entries: this.#entries(node.items as Pair<Node, Node | null>[], depth, offset) }
    if (isSeq(node)) return { kind: 'list', position, items: (node.items as Node[]).map((item) => this.read(item, depth + 1)) }
    return isScalar(node) ? this.#scalar(node.value, node.source, offset, position) : this.#scalar(null, '', offset, position)
  }

  #entries(pairs: readonly Pair<Node, Node | null>[], depth: number, offset: number): YamlEntry[] {
    const seen = new Set<string>()
    return pairs.map((pair) => {
      const key = this.read(pair.key, depth + 1)
      if (key.kind !== 'scalar') fail('SIGMA-YAML', key, 'a key must be a plain text, not a list or a map')
      if (seen.has(key.text))
        fail('SIGMA-YAML-DUPLICATE-KEY', key, `the key "${key.text}" stands twice in one map`, 'a list under one key takes several values')
      seen.add(key.text)
      const end = pair.key.range?.[1] ?? offset
      return { key, value: pair.value === null ? this.#scalar(null, '', end, this.#position(end)) : this.read(pair.value, depth + 1) }
    })
  }

  #scalar(parsed: unknown, source: string | undefined, offset: number, position: Position): YamlScalar {
    const value = exact(parsed, source)
    const text = typeof value === 'string' ? value : (source ?? '')
    const start = this.#text.startsWith(text, offset) ? offset : this.#text.startsWith(text, offset + 1) ? offset + 1 : undefined
    const at = (index: number) => (start === undefined ? position : this.#position(start + Math.min(index, text.length)))
    return { kind: 'scalar', position, value, text, at }
  }

  #follow(anchor: string, position: Position): YamlNode {
    const target = this.#anchors.get(anchor)
    if (target === undefined)
      fail('SIGMA-YAML-ALIAS', position, `the alias *${anchor} names no anchor before it`, 'a value that begins with * needs quotes')
    this.#nodes += target.nodes
    this.#aliased += target.nodes
    if (this.#aliased > MAX_ALIASED)
      fail('SIGMA-YAML-ALIAS', position, `the document grows by more than ${MAX_ALIASED} nodes through its aliases`)
    return target.node
  }
}

function exact(value: unknown, source: string | undefined): YamlScalar['value'] {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  }
  if (typeof value === 'number') return Number.isFinite(value) ? value : (source ?? String(value))
  if (typeof value === 'string' || typeof value === 'boolean') return value
  return null
}

function isEmpty(node: unknown): boolean {
  return isScalar(node) && node.value === null
}

function hintFor(code: string): string | undefined {
  if (code === 'TAB_AS_INDENT') return 'indent with spaces'
  if (code === 'MULTILINE_IMPLICIT_KEY' || code === 'MISSING_CHAR')
    return 'is a colon, a quote or a bracket missing on this line or the one before?'
  return undefined
}
