import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { consistencyProof, Frontier, inclusionProof, isConsistent, leafHash, rootOf, rootOfInclusion } from './merkle.ts'

/** The vectors of the reference implementation of RFC 6962. */
const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map((hex) =>
  leafHash(Buffer.from(hex, 'hex')),
)
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]

const leavesOf = (count: number) => Array.from({ length: count }, (_, at) => leafHash(`leaf ${at}`))
const tree = (leaves: readonly Buffer[], size = leaves.length) => ({ size, root: rootOf(leaves, 0, size) })
const sizes = fc.integer({ min: 1, max: 130 })

test.each(ROOTS.map((root, size) => [size, root] as const))('the root of %i leaves is that of RFC 6962', (size, root) => {
  expect(rootOf(LEAVES, 0, size).toString('hex')).toBe(root)
})

test('the inclusion proof of RFC 6962 for d5 of seven leaves has the length that it gives', () => {
  const leaves = leavesOf(7)
  expect([0, 3, 4, 6].map((index) => inclusionProof(leaves, index).length)).toEqual([3, 3, 3, 2])
  expect(consistencyProof(leaves, 3).length).toBe(4)
  expect(consistencyProof(leaves, 4).length).toBe(1)
  expect(consistencyProof(leaves, 6).length).toBe(3)
})

test('a frontier that is put away and taken up again goes on to the same root', () => {
  fc.assert(
    fc.property(sizes, fc.nat(129), (size, at) => {
      const leaves = leavesOf(size)
      const early = new Frontier()
      for (const leaf of leaves.slice(0, at)) early.append(leaf)
      const late = new Frontier(early.size, early.roots)
      for (const leaf of leaves.slice(at)) late.append(leaf)
      expect(late.root()).toEqual(rootOf(leaves))
    }),
  )
  expect(() => new Frontier(3, [leafHash('')])).toThrow(RangeError)
})

describe('proofs', () => {
  test('lead from every leaf to the root, and from no other leaf, place or size', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), (size, pick) => {
        const leaves = leavesOf(size)
        const index = pick % size
        const root = rootOf(leaves)
        const proof = inclusionProof(leaves, index)
        expect(rootOfInclusion(leaves[index]!, index, size, proof)).toEqual(root)
        expect(rootOfInclusion(leafHash('other'), index, size, proof)).not.toEqual(root)
        if (size > 1) expect(rootOfInclusion(leaves[index]!, (index + 1) % size, size, proof)).not.toEqual(root)
        expect(rootOfInclusion(leaves[index]!, index, size, [...proof, root])).toBeUndefined()
        expect(rootOfInclusion(leaves[index]!, size, size, proof)).toBeUndefined()
      }),
    )
  })

  test('show that a tree grew out of another, and fail for one that was changed', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), fc.nat(), (size, pick, change) => {
        const leaves = leavesOf(size)
        const older = 1 + (pick % size)
        const proof = consistencyProof(leaves, older)
        expect(isConsistent(tree(leaves, older), tree(leaves), proof)).toBe(true)
        const forged = leaves.with(change % older, leafHash('forged'))
        expect(isConsistent(tree(leaves, older), tree(forged), consistencyProof(forged, older))).toBe(false)
        expect(isConsistent(tree(leaves, older), tree(leaves), [...proof, leaves[0]!])).toBe(false)
      }),
    )
  })
})
