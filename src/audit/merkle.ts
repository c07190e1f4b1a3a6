import { createHash } from 'node:crypto'

/*
 * Merkle trees as RFC 6962, section 2.1, has them: SHA-256, leaves prefixed with 0x00 and nodes with 0x01.
 */

const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)

/** Bytes of a hash. */
export const HASH_SIZE = 32

export function leafHash(data: Uint8Array | string): Buffer {
  return createHash('sha256').update(LEAF).update(data).digest()
}

function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return createHash('sha256').update(NODE).update(left).update(right).digest()
}

/** What a growing tree has to remember: the roots of its complete subtrees, the largest first. One for each bit of its size. */
export class Frontier {
  #size: number
  readonly #roots: Buffer[]

  /** @param roots as {@link roots} gave them for this size */
  constructor(size = 0, roots: readonly Buffer[] = []) {
    if (roots.length !== bitsOf(size)) throw new RangeError(`a tree of ${size} leaves has ${bitsOf(size)} complete subtrees`)
    this.#size = size
    this.#roots = [...roots]
  }

  get size(): number {
    return this.#size
  }

  get roots(): readonly Buffer[] {
    return this.#roots
  }

  append(leaf: Buffer): void {
    let root = leaf
    for (let size = this.#size; size % 2 === 1; size = Math.floor(size / 2)) root = nodeHash(this.#roots.pop()!, root)
    this.#roots.push(root)
    this.#size++
  }

  root(): Buffer {
    return (
      this.#roots.reduceRight<Buffer | undefined>((right, left) => (right === undefined ? left : nodeHash(left, right)), undefined) ?? EMPTY
    )
  }
}

const EMPTY = createHash('sha256').digest()

/** The root of the tree over `leaves[from, to)`. */
export function rootOf(leaves: readonly Buffer[], from = 0, to = leaves.length): Buffer {
  const frontier = new Frontier()
  for (let at = from; at < to; at++) frontier.append(leaves[at]!)
  return frontier.root()
}

/** RFC 6962 section 2.1.1: what shows that leaf `index` is in the tree over all `leaves`, from the leaf upwards. */
export function inclusionProof(leaves: readonly Buffer[], index: number, from = 0, to = leaves.length): readonly Buffer[] {
  if (to - from <= 1) return []
  const middle = from + split(to - from)
  return index < middle
    ? [...inclusionProof(leaves, index, from, middle), rootOf(leaves, middle, to)]
    : [...inclusionProof(leaves, index, middle, to), rootOf(leaves, from, middle)]
}

/** The root that a leaf and its proof lead to; undefined where the proof is not one for this place and size. */
export function rootOfInclusion(leaf: Buffer, index: number, size: number, proof: readonly Buffer[]): Buffer | undefined {
  if (!(index >= 0 && index < size)) return undefined
  const path = [...proof]
  const climb = (at: number, width: number): Buffer | undefined => {
    if (width === 1) return leaf
    const sibling = path.pop()
    const left = split(width)
    const below = at < left ? climb(at, left) : climb(at - left, width - left)
    if (sibling === undefined || below === undefined) return undefined
    return at < left ? nodeHash(below, sibling) : nodeHash(sibling, below)
  }
  const root = climb(index, size)
  return path.length === 0 ? root : undefined
}

/** RFC 6962 section 2.1.2: what shows that the tree over all `leaves` grew out of that over the first `size` of them. */
export function consistencyProof(leaves: readonly Buffer[], size: number): readonly Buffer[] {
  const descend = (older: number, from: number, to: number, known: boolean): readonly Buffer[] => {
    if (older === to - from) return known ? [] : [rootOf(leaves, from, to)]
    const left = split(to - from)
    return older <= left
      ? [...descend(older, from, from + left, known), rootOf(leaves, from + left, to)]
      : [...descend(older - left, from + left, to, false), rootOf(leaves, from, from + left)]
  }
  return size === 0 ? [] : descend(size, 0, leaves.length, true)
}

/** A tree by its size and root. */
export interface Tree {
  readonly size: number
  readonly root: Buffer
}

/** Whether the proof shows that `newer` begins with exactly the leaves of `older`. */
export function isConsistent(older: Tree, newer: Tree, proof: readonly Buffer[]): boolean {
  if (older.size === 0 || older.size > newer.size) return older.size === 0 && proof.length === 0
  const path = [...proof]
  // The roots of what is older and newer in a subtree that both reach into.
  const climb = (size: number, width: number, known: boolean): readonly [Buffer, Buffer] | undefined => {
    if (size === width) {
      const root = known ? older.root : path.pop()
      return root === undefined ? undefined : [root, root]
    }
    const other = path.pop()
    const left = split(width)
    const below = size <= left ? climb(size, left, known) : climb(size - left, width - left, false)
    if (other === undefined || below === undefined) return undefined
    const [before, after] = below
    return size <= left ? [before, nodeHash(after, other)] : [nodeHash(other, before), nodeHash(other, after)]
  }
  const roots = climb(older.size, newer.size, true)
  return roots !== undefined && path.length === 0 && roots[0].equals(older.root) && roots[1].equals(newer.root)
}

/** The largest power of two below `size`. */
function split(size: number): number {
  return 2 ** Math.ceil(Math.log2(size) - 1)
}

function bitsOf(size: number): number {
  let bits = 0
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) bits += rest % 2
  return bits
}
