import { type CharacterSet, complement, LAST_CODE_POINT, type Range, type Regex } from './parse.ts'

/** How a backtracking engine's worst case grows: at most about `ways · n^degree` steps for a text of n characters. */
export interface Growth {
  readonly degree: number
  readonly ways: number
}

/**
 * Cost of one node from one starting place. `paths`: the power of n of the number of places where it can end, which all that
 * follows is tried from. `work`: the power of n of the steps that it takes itself. `ways`: the constant factor.
 */
interface Cost {
  readonly paths: number
  readonly work: number
  readonly ways: number
}

const CONSTANT: Cost = { paths: 0, work: 0, ways: 1 }
const LINEAR: Cost = { paths: 0, work: 1, ways: 1 }
const EXPONENTIAL: Cost = { paths: Number.POSITIVE_INFINITY, work: Number.POSITIVE_INFINITY, ways: 1 }

/** Repetitions with more turns than this, or more choice of turns, count as unbounded. */
const FEW = 16

const EVERYTHING: readonly Range[] = [[0, LAST_CODE_POINT]]
const NOTHING: readonly Range[] = []

/**
 * Bounds the growth of a search for `regex` in a backtracking engine. Conservative: it may say exponential of what is not,
 * never the other way. The argument: an engine retries at every place where a part could have ended, so parts that can end in
 * one place only (what follows cannot start with what they repeat) add their cost, and others multiply it. A repetition
 * whose body could be split in two ways over one text is exponential.
 */
export function growth(regex: Regex): Growth {
  const { paths, work, ways } = cost(regex, NOTHING)
  return { degree: (isAnchored(regex) ? 0 : 1) + Math.max(paths, work), ways }
}

/** @param follow the characters that what comes after the node can start with */
function cost(node: Regex, follow: readonly Range[]): Cost {
  switch (node.kind) {
    case 'set':
    case 'edge':
      return CONSTANT
    case 'backreference':
      return LINEAR
    case 'capture':
      return cost(node.item, follow)
    case 'look': {
      const inner = cost(node.item, node.behind ? EVERYTHING : NOTHING)
      return { paths: 0, work: Math.max(inner.paths, inner.work), ways: inner.ways }
    }
    case 'sequence':
      return sequenceCost(node.items, follow)
    case 'choice':
      return choiceCost(node.items, follow)
    case 'repeat':
      return repeatCost(node, follow)
  }
}

function sequenceCost(items: readonly Regex[], follow: readonly Range[]): Cost {
  let paths = 0
  let work = 0
  let ways = 1
  items.forEach((item, index) => {
    const own = cost(item, firstOfSequence(items.slice(index + 1), follow).ranges)
    work = Math.max(work, paths + own.work)
    paths += own.paths
    ways *= own.ways
  })
  return { paths, work, ways }
}

function choiceCost(items: readonly Regex[], follow: readonly Range[]): Cost {
  const costs = items.map((item) => cost(item, follow))
  const starts = items.map((item) => firstOfSequence([item], follow).ranges)
  const apart = starts.every((start, index) => starts.slice(index + 1).every((other) => disjoint(start, other)))
  return {
    paths: Math.max(...costs.map(({ paths }) => paths)),
    work: Math.max(...costs.map(({ work }) => work)),
    ways: apart ? Math.max(...costs.map(({ ways }) => ways)) : costs.reduce((sum, { ways }) => sum + ways, 0),
  }
}

function repeatCost({ item, min, max }: Extract<Regex, { kind: 'repeat' }>, follow: readonly Range[]): Cost {
  if (max === 0) return CONSTANT
  const start = first(item)
  const body = cost(item, max === 1 ? follow : [...start.ranges, ...follow])
  const endsInOnePlace = !start.nullable && disjoint(start.ranges, follow)
  if (max > FEW) {
    const oneWay = body.paths === 0 && body.work <= 1 && body.ways === 1 && !start.nullable
    if (!oneWay) return EXPONENTIAL
    return { paths: endsInOnePlace || min === max ? 0 : 1, work: 1, ways: 1 }
  }
  const ends = endsInOnePlace ? 1 : max - min + 1
  return { paths: body.paths * max, work: body.work + body.paths * (max - 1), ways: body.ways ** max * ends }
}

interface First {
  readonly ranges: readonly Range[]
  /** It can match without taking a character. */
  readonly nullable: boolean
}

function first(node: Regex): First {
  switch (node.kind) {
    case 'set':
      return { ranges: charactersOf(node), nullable: false }
    case 'edge':
      return { ranges: NOTHING, nullable: true }
    case 'look':
    case 'backreference':
      return { ranges: EVERYTHING, nullable: true }
    case 'capture':
      return first(node.item)
    case 'repeat': {
      const { ranges, nullable } = first(node.item)
      return { ranges, nullable: nullable || node.min === 0 }
    }
    case 'choice': {
      const firsts = node.items.map(first)
      return { ranges: firsts.flatMap(({ ranges }) => ranges), nullable: firsts.some(({ nullable }) => nullable) }
    }
    case 'sequence':
      return firstOfSequence(node.items, NOTHING)
  }
}

/** What a sequence can start with; where all of it can be empty, also what follows. */
function firstOfSequence(items: readonly Regex[], follow: readonly Range[]): First {
  const ranges: Range[] = []
  for (const item of items) {
    const start = first(item)
    ranges.push(...start.ranges)
    if (!start.nullable) return { ranges, nullable: false }
  }
  return { ranges: [...ranges, ...follow], nullable: true }
}

function disjoint(some: readonly Range[], others: readonly Range[]): boolean {
  return some.every(([first, last]) => others.every(([from, to]) => last < from || to < first))
}

/** All characters that a set can take, with some more where its exact extent would need Unicode's tables. */
function charactersOf(set: CharacterSet): readonly Range[] {
  if (set.properties.length > 0) return EVERYTHING
  const ranges = set.ignoreCase ? set.ranges.flatMap(withCases) : set.ranges
  if (!set.negated) return ranges
  return complement(set.ignoreCase ? set.ranges.filter(([, last]) => last < 0x80) : set.ranges)
}

function withCases([first, last]: Range): Range[] {
  const ranges: Range[] = [[first, last]]
  if (last >= 0x80) ranges.push([0x80, LAST_CODE_POINT], [0x41, 0x5a], [0x61, 0x7a])
  else if (last >= 0x41) {
    ranges.push([0x17f, 0x17f], [0x212a, 0x212a])
    const upper = overlap([first, last], [0x41, 0x5a])
    const lower = overlap([first, last], [0x61, 0x7a])
    if (upper !== undefined) ranges.push([upper[0] + 0x20, upper[1] + 0x20])
    if (lower !== undefined) ranges.push([lower[0] - 0x20, lower[1] - 0x20])
  }
  return ranges
}

function overlap(a: Range, b: Range): Range | undefined {
  const first = Math.max(a[0], b[0])
  const last = Math.min(a[1], b[1])
  return first <= last ? [first, last] : undefined
}

function isAnchored(node: Regex): boolean {
  switch (node.kind) {
    case 'edge':
      return node.at === 'start'
    case 'capture':
      return isAnchored(node.item)
    case 'sequence':
      return node.items[0] !== undefined && isAnchored(node.items[0])
    case 'choice':
      return node.items.every(isAnchored)
    default:
      return false
  }
}

/** Whether only a backtracking engine can run it. */
export function needsBacktracking(node: Regex): boolean {
  switch (node.kind) {
    case 'look':
    case 'backreference':
      return true
    case 'sequence':
    case 'choice':
      return node.items.some(needsBacktracking)
    case 'repeat':
    case 'capture':
      return needsBacktracking(node.item)
    default:
      return false
  }
}

/**
 * Drops what cannot change whether a search succeeds: a repetition at either end of the whole (`.*foo.*` is found where
 * `foo` is). It would only make the search slower.
 */
export function trimmed(regex: Regex): Regex {
  if (regex.kind === 'choice') return { kind: 'choice', items: regex.items.map(trimmed) }
  if (regex.kind === 'repeat') return shortest(regex)
  if (regex.kind !== 'sequence') return regex
  const items = regex.items.map((item, index) => (index === 0 || index === regex.items.length - 1 ? shortest(item) : item))
  return { kind: 'sequence', items }
}

function shortest(node: Regex): Regex {
  if (node.kind !== 'repeat' || node.item.kind !== 'set') return node
  return node.min === 1 ? node.item : { ...node, max: node.min }
}
