import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatVerifier, newKey, openNote, parseVerifier, signerOf, signNote } from './note.ts'

/** The example of the Go implementation that the format comes from. */
const PETER = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const NOTE =
  'If you think cryptography is the answer to your problem,\nthen you don’t know what your problem is.\n\n' +
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n'

test('a note of another implementation opens', () => {
  const peter = parseVerifier(PETER)
  expect(formatVerifier(peter)).toBe(PETER)
  expect(openNote(NOTE.replace('’', "'"), [peter])?.by.name).toBe('PeterNeumann')
  expect(openNote(NOTE, [peter])).toBeUndefined()
})

test('what was signed opens with its key alone, and with no byte changed', () => {
  const signer = signerOf('cordon/a', newKey())
  const other = signerOf('cordon/a', newKey())
  const note = signNote('one\ntwo\n', signer)
  expect(openNote(note, [parseVerifier(formatVerifier(signer))])?.text).toBe('one\ntwo\n')
  expect(openNote(note, [other])).toBeUndefined()
  expect(openNote(note, [])).toBeUndefined()
  const bytes = Buffer.from(note)
  const covered = Buffer.byteLength('one\ntwo\n')
  fc.assert(
    fc.property(fc.nat(covered - 1), fc.integer({ min: 1, max: 127 }), (at, flip) => {
      const changed = Buffer.from(bytes)
      changed[at]! ^= flip
      expect(openNote(changed.toString(), [signer])).toBeUndefined()
    }),
  )
})

test('a key that is none is refused with what to do', () => {
  for (const line of ['', 'a+b+c', PETER.replace('c74f20a3', 'c74f20a4')]) expect(() => parseVerifier(line)).toThrow(/public key/)
  expect(() => signerOf('a', 'nonsense')).toThrow(/PKCS #8/)
})
