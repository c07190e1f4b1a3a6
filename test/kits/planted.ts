import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** A credential that was put somewhere in order to be found nowhere else. */
export interface Planted {
  /** What it is to the node: for the report of a leak. */
  readonly name: string
  readonly value: string
}

/** Bytes that were written, and by what. */
export interface Written {
  readonly where: string
  readonly bytes: Buffer
}

/** Letters and digits of its own for each name: the same in every run. */
export function drawnFor(name: string, length = 32): string {
  return createHash('sha512')
    .update(name)
    .digest('base64')
    .replaceAll(/[^A-Za-z0-9]/g, '')
    .slice(0, length)
}

/**
 * A credential with every character that some encoding writes otherwise: what is searched for is found however it is written, what masks it is not
 * spared the encodings.
 */
export function plantedFor(name: string): Planted {
  return { name, value: `${drawnFor(name)}+/=&%"\\~` }
}

/** So much of a credential is enough to call it one. */
const PIECE = 14

/** As which it may stand in a file: a piece of its beginning or end, plain (which JSON, URLs, forms and HTML leave as it is), in base64 or in hexadecimal. */
export function tracesOf(value: string): readonly string[] {
  const core = (/[A-Za-z0-9]{24,}/.exec(value)?.[0] ?? value).slice(0, 48)
  const pieces = [core.slice(0, PIECE), core.slice(-PIECE)]
  return [...pieces, ...[0, 1, 2].flatMap((shift) => base64Of(core, shift)), Buffer.from(pieces[0]!).toString('hex')]
}

/** The part of its base64 that does not depend on what stands around it, if so many bytes precede it. */
function base64Of(text: string, shift: number): readonly string[] {
  const encoded = Buffer.from(`${'-'.repeat(shift)}${text}`)
    .toString('base64')
    .replaceAll('=', '')
  const inner = encoded.slice(shift === 0 ? 0 : 4, -4)
  const pieces = [inner.slice(0, PIECE), inner.slice(-PIECE)]
  return [...new Set([...pieces, ...pieces.map((piece) => piece.replaceAll('+', '-').replaceAll('/', '_'))])]
}

/** Where which credential was written, in words. */
export function leaks(planted: readonly Planted[], written: readonly Written[]): readonly string[] {
  const wanted = planted.map(({ name, value }) => ({ name, traces: tracesOf(value) }))
  return written.flatMap(({ where, bytes }) =>
    wanted.flatMap(({ name, traces }) => {
      const at = traces.map((trace) => bytes.indexOf(trace)).find((found) => found >= 0)
      if (at === undefined) return []
      const around = bytes.toString('latin1', Math.max(0, at - 100), at + 60)
      return [`${name} in ${where}: …${around.replaceAll(/[^ -~]+/g, ' ')}…`]
    }),
  )
}

/** Every file below a folder. @param spared not looked into: files and folders, by their path below it */
export function filesBelow(folder: string, spared: readonly string[] = [], below = ''): readonly Written[] {
  return readdirSync(join(folder, below)).flatMap((name) => {
    const where = join(below, name)
    if (spared.includes(where)) return []
    const path = join(folder, where)
    return statSync(path).isDirectory() ? filesBelow(folder, spared, where) : [{ where, bytes: readFileSync(path) }]
  })
}
