import type { Finding } from './kind.ts'
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
const VALUE = `(?:"([^"]{1,1024})"?|'([^']{1,1024})'?|([^\\s"'\`,;&|<>(){}[\\]]{1,1024}))`
const ASSIGNED = new RegExp(`["']?\\]?\\s{0,3}(?:=>|:=|[:=])\\s{0,3}${VALUE}`, 'y')
const SAID = new RegExp(`\\s{1,3}(?:is|was)\\s{1,3}:?\\s{0,3}${VALUE}`, 'y')
const FOLLOWING = new RegExp(`\\s{1,3}${VALUE}`, 'y')
const FLAG = /(?:^|[^\w-])--?[\w-]{0,32}$/
const LONGEST_FLAG = 40

/** Secrets behind their names in a text. */
export function* findNamed(text: string): Generator<Finding> {
  for (const { 0: name, index, groups } of text.matchAll(NAME)) {
    const behind = index + name.length
    const isPassword = groups!.password !== undefined
    const found = valueAt(ASSIGNED, text, behind) ?? (isPassword ? valueAt(SAID, text, behind) : undefined) ?? argument(text, index, behind)
    if (found === undefined) continue
    if (isPassword ? isPasswordWord(found.value) : isCredential(found.value, 12))
      yield { kind: isPassword ? 'password' : 'credential', ...found }
  }
}

/** The argument of a flag: `--password …`. */
function argument(text: string, index: number, behind: number): Omit<Finding, 'kind'> | undefined {
  return FLAG.test(text.slice(Math.max(0, index - LONGEST_FLAG), index)) ? valueAt(FOLLOWING, text, behind) : undefined
}

/** Whether an argument of a command names the next one: `["--password", "…"]`. */
export function promiseOfFlag(argument: string): Promised | undefined {
  return /^--?[\w-]{2,40}$/.test(argument) ? promiseOf(argument) : undefined
}

function valueAt(form: RegExp, text: string, at: number): Omit<Finding, 'kind'> | undefined {
  form.lastIndex = at
  const found = form.exec(text)
  if (found === null) return undefined
  const value = found[1] ?? found[2] ?? found[3]!
  const start = at + found[0].lastIndexOf(value)
  return { value, start, end: start + value.length }
}

const PATH = /^(?:~|\.{1,2})?\/[\w.-]{1,4096}(?:\/|$)|^[A-Za-z]:[\\/]|^[a-z]{1,32}:\/\//

/** In a sentence, a word behind "password:" is one only if no word is written like it. */
function isPasswordWord(value: string): boolean {
  return value.length > 5 && isReal(value) && !PATH.test(value) && /[\d!@#$%^&*?~+=]/.test(value)
}

function isCredential(value: string, shortest: number): boolean {
  if (value.length < shortest || /\s/.test(value) || !isReal(value) || PATH.test(value)) return false
  return /[A-Za-z]/.test(value) && (/\d/.test(value) || (value.length > 19 && /[a-z][A-Z]/.test(value)))
}
