import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { openNote, parseVerifier, type Signer, signNote, type Verifier } from '../../audit/note.ts'
import { CordonError, telling } from '../../event/error.ts'
import { digest } from '../../event/id.ts'
import { canonicalJson } from '../../event/json.ts'
import type { Config } from '../config.ts'

/** What is signed as a whole: the rules by their bundle's id, the policy by the hash of its files. */
export type SignedSet = 'rules' | 'policy'

/** What a signature says. */
export interface Signature {
  readonly by: string
  /** When it was made, in milliseconds since the epoch: the counter that keeps an older set from coming back. */
  readonly counter: number
}

const BODY = /^cordon (?<set>rules|policy)\n(?<id>[0-9a-f]+)\n(?<counter>[1-9]\d{0,15})\n$/

/** A signed note (c2sp.org/signed-note) over which set it is, its content and the counter. */
export function signSet(set: SignedSet, id: string, counter: number, signer: Signer): string {
  return signNote(`cordon ${set}\n${id}\n${counter}\n`, signer)
}

/**
 * Who signed a set.
 *
 * @param note undefined where there is none
 * @throws CordonError `SET_UNSIGNED` where no trusted key has signed this content, `SET_ROLLED_BACK` where its counter is lower than `least`
 */
export function checkSet(set: SignedSet, id: string, note: string | undefined, keys: readonly Verifier[], least = 0): Signature {
  const hint = `review it and sign it: cordon sign ${set} --key FILE`
  if (note === undefined) throw new CordonError('SET_UNSIGNED', `the ${set} are not signed, and trust.keys says who has to`, { hint })
  const opened = openNote(note, keys)
  if (opened === undefined) throw new CordonError('SET_UNSIGNED', `no trusted key has signed the ${set}`, { hint })
  const { set: signed, id: content, counter } = BODY.exec(opened.text)?.groups ?? {}
  if (signed !== set || content !== id)
    throw new CordonError('SET_UNSIGNED', `the signature of ${opened.by.name} is for other ${set} than these`, { hint })
  if (Number(counter) < least)
    throw new CordonError('SET_ROLLED_BACK', `these ${set} were signed before those that were in force already`, {
      hint: `to go back on purpose, sign them anew: cordon sign ${set} --key FILE`,
    })
  return { by: opened.by.name, counter: Number(counter) }
}

/** Keys that count; none where nothing has to be signed. @throws CordonError `KEY_INVALID`, `FILE_UNREADABLE` */
export function trustedKeys({ trust }: Pick<Config, 'trust'>): readonly Verifier[] {
  if (trust.keys === undefined) return []
  const keys = read(trust.keys)
  if (keys === undefined) {
    throw new CordonError('FILE_UNREADABLE', `there are no trusted keys at ${trust.keys}`, {
      hint: 'trust.keys names a file with a public key a line, as "cordon sign" prints it',
    })
  }
  const file = trust.keys
  return keys.split('\n').flatMap((text, at) => {
    if (text.trim() === '' || text.startsWith('#')) return []
    const where = { file, line: at + 1, column: 1 }
    return [
      telling(
        () => ({ where }),
        () => parseVerifier(text),
      ),
    ]
  })
}

export const POLICY_SIGNATURE = 'policy.sig'

/** The content of a policy: the hash of all its files, by name. */
export function policyId(folder: string): string {
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort() : []
  // Whatever a link leads to is read as part of the policy, so it is signed as such.
  const files = names.filter((name) => name !== POLICY_SIGNATURE && statSync(join(folder, name), { throwIfNoEntry: false })?.isFile())
  return digest(canonicalJson(files.map((name) => [name, digest(readFileSync(join(folder, name)))])))
}

/** The text of a signature's file; undefined where there is none. */
export function read(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}
