import { CordonError } from '../event/error.ts'
import { type Checkpoint, openCheckpoint } from './checkpoint.ts'
import { type AuditEntry, parseEntry } from './entry.ts'
import { consistencyProof, inclusionProof, isConsistent, leafHash, rootOf, rootOfInclusion } from './merkle.ts'
import { bytesOf, type Verifier } from './note.ts'

/*
 * Proofs that stand alone (c2sp.org/tlog-proof): an entry, the hashes that lead from it to a root, and the signed checkpoint of that root.
 * Whoever has the public key can check one, and needs neither log nor node.
 */

const HEAD = 'c2sp.org/tlog-proof@v1'
const PROOF =
  /^c2sp\.org\/tlog-proof@v1\nextra (?<leaf>[A-Za-z0-9+/]+={0,2})\nindex (?<index>0|[1-9]\d{0,15})\n(?<hashes>(?:[A-Za-z0-9+/]{43}=\n)*)\n(?<note>.*)$/s

/** The proof that entry `index` is what `note` covers, where `leaves` are its log's hashes. */
export function formatProof(leaf: string, index: number, leaves: readonly Buffer[], { size }: Checkpoint, note: string): string {
  const hashes = inclusionProof(leaves, index, 0, size).map((hash) => `${hash.toString('base64')}\n`)
  return `${HEAD}\nextra ${Buffer.from(leaf).toString('base64')}\nindex ${index}\n${hashes.join('')}\n${note}`
}

/**
 * What a proof shows.
 *
 * @throws CordonError `AUDIT_PROOF` where it shows nothing: it is no proof, nobody that is trusted signed it, or it does not lead to the root
 */
export function checkProof(text: string, verifiers: readonly Verifier[]): { readonly entry: AuditEntry; readonly checkpoint: Checkpoint } {
  const { leaf, index, hashes, note } = PROOF.exec(text)?.groups ?? {}
  const data = bytesOf(leaf ?? '')?.toString()
  const path = hashes?.split('\n').slice(0, -1).map(bytesOf)
  if (!data || note === undefined || !path?.every((hash) => hash !== undefined)) throw unproven('it is no proof of an audit log')
  const checkpoint = openCheckpoint(note, verifiers)
  if (checkpoint === undefined) throw unproven('its checkpoint is not signed by the key')
  const root = rootOfInclusion(leafHash(data), Number(index), checkpoint.size, path)
  const entry = parseEntry(data)
  if (root?.equals(checkpoint.root) !== true || entry === undefined) throw unproven('its entry is not what the checkpoint covers')
  return { entry, checkpoint }
}

/** Whether one checkpoint's log grew out of another's, shown by the log's hashes. */
export function grewFrom(older: Checkpoint, newer: Checkpoint, leaves: readonly Buffer[]): boolean {
  if (leaves.length < newer.size) return false
  const covered = leaves.slice(0, newer.size)
  return rootOf(covered).equals(newer.root) && isConsistent(older, newer, consistencyProof(covered, older.size))
}

function unproven(why: string): CordonError {
  return new CordonError('AUDIT_PROOF', `the proof shows nothing: ${why}`, {
    hint: 'check that the file is whole, and the key that of the node which made it',
  })
}
