import type { Finding, Look } from './kind.ts'
import { WORDS } from './suspicion.ts'
import { isReal } from './tokens.ts'

/*
 * Values that only their name gives away: `password=…`, `"clientSecret": "…"`, `--api-key …`. A name says much, but not everything: what
 * stands beside it must look like a secret, or a word like "token" would cost every sentence its next one.
 */

const PASSWORD = 'pass(?:word|wd|phrase|code)|pwd'
const KEY = '(?:api|access|account|private|secret|shared|signing|encryption|master|auth|session|subscription|storage)[-_. ]?key'
/** The hash of a token, the public key of an assembly and Amazon's clientToken, which marks a retry, let nobody in. */
const CREDENTIAL = `secret|(?<!(?:publickey|public_key_|hashed_|hashed|hash_|client))token|${KEY}|credentials?`

/** What the name of a field promises of its value. */
export type Promised = 'password' | 'credential' | 'authorization' | 'cookie' | 'phone' | 'ssn'

const PROMISES: readonly (readonly [Promised, RegExp])[] = [
  ['password', new RegExp(`(?:${PASSWORD})$`, 'i')],
  ['credential', new RegExp(`(?:${CREDENTIAL})$`, 'i')],
  ['authorization', /^(?:proxy-)?authorization$/i],
  ['cookie', /^(?:set-)?cookies?$/i],
  ['phone', /(?:phone|mobile|fax)(?:[-_ ]?(?:number|no))?$/i],
  ['ssn', /(?:^|[-_.])ssn$|social[-_ ]?security(?:[-_ ]?(?:number|no))?$/i],
]

/** What a field's name promises. */
export function promiseOf(name: string): Promised | undefined {
  return PROMISES.find(([, form]) => form.test(name))?.[0]
}

/** What a whole value is, given what its name promises: the kind, where it keeps the promise. */
export function keptPromise(promised: Promised, value: string): { readonly kind: string; readonly value: string } | undefined {
  const digits = value.replaceAll(/[^\dA-Za-z]/g, '')
  switch (promised) {
    case 'password':
      return value.length > 2 && isReal(value) && !PATH.test(value) ? { kind: 'password', value } : undefined
    case 'credential':
      return isCredential(value, 8) ? { kind: 'credential', value } : undefined
    case 'authorization':
    case 'cookie':
      return value.length > 7 && isReal(value) ? { kind: promised, value } : undefined
    case 'phone':
      return /^\d{7,15}$/.test(digits) ? { kind: 'phone', value: digits } : undefined
    case 'ssn':
      return /^\d{9}$/.test(digits) ? { kind: 'ssn', value: digits } : undefined
  }
}

const NAME = new RegExp(`(?<!REDACTED:)(?:(?<password>${PASSWORD})|${CREDENTIAL})`, 'gi')
/** How far a value is read to tell whether it is a secret: those who name one a thousand times shall not have it read as often. */
const HEAD = 64
const VALUE = `(?:"([^"]{1,${HEAD}})|'([^']{1,${HEAD}})|([^\\s"'\`,;&|<>(){}[\\]]{1,${HEAD}}))`
const ASSIGNED = new RegExp(`["']?\\]?\\s{0,3}(?:=>|:=|[:=])\\s{0,3}${VALUE}`, 'y')
const SAID = new RegExp(`\\s{1,3}(?:is|was)\\s{1,3}:?\\s{0,3}${VALUE}`, 'y')
const FOLLOWING = new RegExp(`\\s{1,3}${VALUE}`, 'y')
/** What ends a value, by how it is quoted: double, single, not. */
const ENDS = [/"/g, /'/g, /[\s"'`,;&|<>(){}[\]]/g]
const FLAG = /(?:^|[^\w-])--?[\w-]{0,32}$/
const LONGEST_FLAG = 40

/** The beginning of a value, and what would end it. */
interface Head {
  readonly start: number
  readonly text: string
  readonly end: RegExp
}

/** Secrets behind their names in a text. */
export const NAMED: Look = {
  flags: WORDS,
  signs: ['password', 'passwd', 'passphrase', 'passcode', 'pwd', 'secret', 'token', 'key', 'credential'].map((literal) => ({ literal })),
  find: (text) => [findNamed(text)],
}

function* findNamed(text: string): Generator<Finding> {
  let end = 0
  for (const { 0: name, index, groups } of text.matchAll(NAME)) {
    if (index < end) continue // It is a part of the secret before it.
    const behind = index + name.length
    const isPassword = groups!.password !== undefined
    const head = headAt(ASSIGNED, text, behind) ?? (isPassword ? headAt(SAID, text, behind) : undefined) ?? argument(text, index, behind)
    if (head === undefined || !(isPassword ? isPasswordWord(head.text) : isCredential(head.text, 12))) continue
    end = endOf(head, text)
    yield { kind: isPassword ? 'password' : 'credential', start: head.start, end, value: text.slice(head.start, end) }
  }
}

/** The argument of a flag: `--password …`. */
function argument(text: string, index: number, behind: number): Head | undefined {
  return FLAG.test(text.slice(Math.max(0, index - LONGEST_FLAG), index)) ? headAt(FOLLOWING, text, behind) : undefined
}

/** Whether an argument of a command names the next one: `["--password", "…"]`. */
export function promiseOfFlag(argument: string): Promised | undefined {
  return /^--?[\w-]{2,40}$/.test(argument) ? promiseOf(argument) : undefined
}

function headAt(form: RegExp, text: string, at: number): Head | undefined {
  form.lastIndex = at
  const found = form.exec(text)
  if (found === null) return undefined
  const quoting = found[1] !== undefined ? 0 : found[2] !== undefined ? 1 : 2
  const head = found[quoting + 1]!
  return { start: form.lastIndex - head.length, text: head, end: ENDS[quoting]! }
}

function endOf({ start, text: { length }, end }: Head, text: string): number {
  end.lastIndex = start + length
  return end.exec(text)?.index ?? text.length
}

const PATH = /^(?:~|\.{1,2})?\/[\w.-]{1,4096}(?:\/|$)|^[A-Za-z]:[\\/]|^[a-z]{1,32}:\/\//

/** In a sentence, a word behind "password:" is one only if no word is written like it. */
function isPasswordWord(value: string): boolean {
  return value.length > 5 && /[\d!@#$%^&*?~+=]/.test(value) && !PATH.test(value) && isReal(value)
}

function isCredential(value: string, shortest: number): boolean {
  if (value.length < shortest || !(/\d/.test(value) || (value.length > 19 && /[a-z][A-Z]/.test(value)))) return false
  return /[A-Za-z]/.test(value) && !/\s/.test(value) && !PATH.test(value) && isReal(value)
}
