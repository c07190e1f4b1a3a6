import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What one sensor delivers at once. */
export interface Delivery {
  /** Milliseconds since the epoch. */
  readonly at: number
  /** A source's name. */
  readonly source: string
  readonly body: string
}

const AUDIT = readFileSync(join(import.meta.dirname, 'kernel-audit.log'), 'utf8').trimEnd()
const TELEMETRY = readFileSync(join(import.meta.dirname, 'telemetry.json'), 'utf8')
const STAMP = /\bmsg=audit\((\d+\.\d{3}):(\d+)\)/g
const NANOS = /"((?:observedT|t)imeUnixNano)": "(\d+)"/g
const ISO_TIME = /\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g
const HOST = '"ws-1"'
const SESSION = /"key": "session\.id",\s*"value": \{\s*"stringValue": "([0-9a-f-]{36})"/.exec(TELEMETRY)![1]!
const BEGAN = Math.round(Number(AUDIT.match(/msg=audit\((\d+\.\d{3})/)![1]) * 1_000)
const ENDED = Math.max(...[...AUDIT.matchAll(STAMP)].map((match) => Math.round(Number(match[1]) * 1_000)))

/** The recorded session on a host at a time: what the kernel saw, and in the end what the agent itself tells. */
export function recordedSession(host: string, at: number, serial: number, session: string): readonly Delivery[] {
  const shift = at - BEGAN
  const lines = AUDIT.split('\n').map((line) => {
    const moved = line.replace(STAMP, (_, seconds: string, number: string) => {
      const time = (Math.round(Number(seconds) * 1_000) + shift) / 1_000
      return `msg=audit(${time.toFixed(3)}:${Number(number) + serial})`
    })
    return `node=${host} ${moved}`
  })
  const body = TELEMETRY.replaceAll(SESSION, session)
    .replaceAll(HOST, JSON.stringify(host))
    .replace(NANOS, (_, name: string, nanos: string) => `"${name}": "${BigInt(nanos) + BigInt(shift) * 1_000_000n}"`)
    .replace(ISO_TIME, (text) => new Date(Date.parse(text) + shift).toISOString())
  return [
    { at, source: 'linux.auditd', body: lines.join('\n') },
    { at: ENDED + shift + 1_000, source: 'agent.gemini_cli', body },
  ]
}
