import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { type Planted, tracesOf } from './planted.ts'

const CHUNK = 4 * 1024 * 1024
/** A trace is looked for by its first bytes. */
const KEY = 3

/** What is looked for, by what it begins with. */
interface Traces {
  /** 1 where a trace begins with these three bytes. */
  readonly begins: Uint8Array
  readonly byKey: ReadonlyMap<number, readonly { readonly name: string; readonly bytes: Buffer }[]>
  readonly longest: number
}

/** The names of the credentials that a process holds: in its environment as it was started with, or in its memory, as they are or encoded. Linux. */
export function heldBy(pid: number, planted: readonly Planted[]): ReadonlySet<string> {
  const traces = indexed(planted)
  const held = new Set<string>()
  search(readFileSync(`/proc/${pid}/environ`), traces, held)
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  try {
    for (const { from, to } of regionsOf(pid)) searchRegion(memory, from, to, traces, held)
  } finally {
    closeSync(memory)
  }
  return held
}

/** What a process has written: neither the code of libraries, nor what is only reserved. */
function regionsOf(pid: number): { readonly from: number; readonly to: number }[] {
  // A heading for each region, and below it how much of it is there.
  const regions = readFileSync(`/proc/${pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
  return regions.flatMap((region) => {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(region) ?? []
    const present = /^Rss: +[1-9]/m.test(region)
    return from === undefined || !present ? [] : [{ from: Number.parseInt(from, 16), to: Number.parseInt(to!, 16) }]
  })
}

/** Reads a region chunk by chunk; each begins with the end of the one before it, so that a trace across both is seen. */
function searchRegion(memory: number, from: number, to: number, traces: Traces, held: Set<string>): void {
  const buffer = Buffer.alloc(CHUNK + traces.longest)
  for (let at = from; at < to; at += CHUNK) {
    const length = Math.min(buffer.length, to - at)
    const read = readPresent(memory, buffer, length, at)
    if (read > 0) search(buffer.subarray(0, read), traces, held)
  }
}

/** Memory that is given back meanwhile holds nothing. */
function readPresent(memory: number, buffer: Buffer, length: number, at: number): number {
  try {
    return readSync(memory, buffer, 0, length, at)
  } catch {
    return 0
  }
}

function search(bytes: Buffer, { begins, byKey }: Traces, held: Set<string>): void {
  for (let at = 0; at + KEY <= bytes.length; at++) {
    const key = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
    if (begins[key] === 0) continue
    for (const { name, bytes: trace } of byKey.get(key)!)
      if (trace.compare(bytes, at, Math.min(at + trace.length, bytes.length)) === 0) held.add(name)
  }
}

function indexed(planted: readonly Planted[]): Traces {
  const begins = new Uint8Array(1 << 24)
  const byKey = new Map<number, { name: string; bytes: Buffer }[]>()
  let longest = 0
  // Text that has a character beyond Latin-1 is kept in two bytes each.
  for (const { name, value } of planted)
    for (const trace of tracesOf(value))
      for (const bytes of [Buffer.from(trace, 'latin1'), Buffer.from(trace, 'utf16le')]) {
        const key = bytes.readUIntBE(0, KEY)
        begins[key] = 1
        byKey.set(key, [...(byKey.get(key) ?? []), { name, bytes }])
        longest = Math.max(longest, bytes.length)
      }
  return { begins, byKey, longest }
}
