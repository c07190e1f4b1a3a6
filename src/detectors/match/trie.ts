import type { UnitClasses } from './unit-classes.ts'

/**
 * Texts by their prefixes, the states numbered breadth first. The children of one state then have consecutive numbers, so an edge
 * is named by the state that it leads to. State 0 is the root.
 */
export interface Trie {
  /** Per state, its first child; its last is the one before the first child of the next state. */
  readonly firstChild: Int32Array
  /** Per state, the class on the edge that leads to it. */
  readonly symbols: Int32Array
  /** Per state, the texts (by index) that end in it. */
  readonly ends: readonly (readonly number[])[]
}

/** @param texts not empty, with classes for all their units */
export function buildTrie(texts: readonly string[], classes: UnitClasses): Trie {
  const firstChild: number[] = []
  const symbols: number[] = [0]
  const ends: number[][] = [[]]
  let level = texts.map((text, index) => ({ text, index, state: 0 })).sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
  for (let depth = 0; level.length > 0; depth++) {
    // Sorted, those in one state stand together, and of these those that go on with the same unit.
    let [parent, symbol] = [-1, -1]
    for (const path of level) {
      const next = classes.of(path.text.charCodeAt(depth))
      if (path.state !== parent || next !== symbol) {
        while (firstChild.length <= path.state) firstChild.push(ends.length)
        parent = path.state
        symbol = next
        symbols.push(next)
        ends.push([])
      }
      path.state = ends.length - 1
      if (path.text.length === depth + 1) ends[path.state]!.push(path.index)
    }
    level = level.filter(({ text }) => text.length > depth + 1)
  }
  while (firstChild.length <= ends.length) firstChild.push(ends.length)
  return { firstChild: Int32Array.from(firstChild), symbols: Int32Array.from(symbols), ends }
}

/** The child of a state by a class, 0 (the root, which is nobody's child) where there is none. Children stand in the order of their classes. */
export function childOf({ firstChild, symbols }: Trie, state: number, symbol: number): number {
  let low = firstChild[state]!
  let high = firstChild[state + 1]!
  while (low < high) {
    const middle = (low + high) >>> 1
    if (symbols[middle]! < symbol) low = middle + 1
    else high = middle
  }
  return low < firstChild[state + 1]! && symbols[low] === symbol ? low : 0
}
