import { isObject, parseJson } from '../event/json.ts'
import { leafHash } from './merkle.ts'

/** One entry of the log, as it is written and hashed. */
export interface AuditEntry {
  /** Its place in the log, from 0. */
  readonly index: number
  readonly id: string
  /** When it happened: RFC 3339. */
  readonly at: string
  readonly what: string
  readonly open: Readonly<Record<string, string | number>>
  /** Commitments: see {@link Seals}. */
  readonly sealed: Readonly<Record<string, string>>
}

/** A line of the log: the leaf's hash, as a first look needs it, and the leaf. */
export interface Line {
  /** As it stands in the line. Nothing rests on it that a signed checkpoint does not confirm. */
  readonly stated: string
  /** What the leaf really hashes to. */
  readonly hash: Buffer
  readonly leaf: string
}

const LINE = /^(?<stated>[A-Za-z0-9+/]{43}=) (?<leaf>\{.*\})$/

export function formatLine(entry: AuditEntry): { readonly line: string; readonly hash: Buffer } {
  const leaf = JSON.stringify(entry)
  const hash = leafHash(leaf)
  return { line: `${hash.toString('base64')} ${leaf}\n`, hash }
}

/** @param text without its newline. @returns undefined where it is no line of the log at all */
export function parseLine(text: string): Line | undefined {
  const { stated, leaf } = LINE.exec(text)?.groups ?? {}
  if (stated === undefined || leaf === undefined) return undefined
  return { stated, hash: leafHash(leaf), leaf }
}

/** Whether the line is what it says it is. */
export function isIntact({ stated, hash }: Line): boolean {
  return hash.toString('base64') === stated
}

/** Whether it is, and stands at its place. */
export function isWhole(line: Line, index: number): boolean {
  return isIntact(line) && line.leaf.startsWith(`{"index":${index},`)
}

/** What a leaf says; undefined where it is no entry. */
export function parseEntry(leaf: string): AuditEntry | undefined {
  try {
    const value = parseJson(leaf)
    const isEntry = isObject(value) && typeof value.id === 'string' && isObject(value.open) && isObject(value.sealed)
    return isEntry ? (value as unknown as AuditEntry) : undefined
  } catch {
    return undefined
  }
}
