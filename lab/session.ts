import { randomInt, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One request of the session, and when it is due. */
export interface Delivery {
  /** Milliseconds since the epoch: when what is in it had just happened. */
  readonly at: number
  readonly path: '/v1/events?source=linux.auditd' | '/v1/logs'
  readonly type: string
  readonly body: string
  readonly records: number
  /** What its one record tells, if that is of interest to people: `curl connects to 203.0.113.66:8080`. */
  readonly says?: string
}

export interface Session {
  readonly agent: string
  /** What its host is called in the records. */
  readonly host: string
  /** From the sensitive read on at the pace of the recording; what happened before it in one request, overdue. */
  readonly deliveries: readonly Delivery[]
}

const FOLDER = join(import.meta.dirname, 'session')
/** Time to send what happened before the read. Milliseconds. */
const LEAD = 250
const STAMP = /\bmsg=audit\((\d+\.\d{3}):(\d+)\)/
const SENSITIVE = / name="\/sensitive\/./

/**
 * The recorded session (lab/session/README.md) as if it happened now: times moved, audit serials and session ids made new, all
 * else as recorded. The agent's own telemetry comes last, in one batch, as the agent sent it.
 *
 * @param now when it is to begin, in milliseconds since the epoch
 */
export function freshSession(now: number): Session {
  const groups = auditEvents(readFileSync(join(FOLDER, 'kernel-audit.log'), 'utf8'))
  const first = groups.findIndex(({ lines }) => lines.some((line) => SENSITIVE.test(line)))
  const before = groups.slice(0, first)
  const after = groups.slice(first)
  const shift = now + LEAD - after[0]!.time
  const serials = randomInt(1, 1_000_000)
  const deliver = (part: readonly AuditEvent[], says?: string): Delivery => ({
    at: part.at(-1)!.time + shift,
    path: '/v1/events?source=linux.auditd',
    type: 'text/plain',
    body: part.flatMap(({ lines }) => lines.map((line) => moved(line, shift, serials))).join('\n'),
    records: part.length,
    ...(says === undefined ? {} : { says }),
  })
  const kernel = [deliver(before), ...after.map((event) => deliver([event], inWords(event)))]
  return { agent: 'gemini', host: 'ws-12', deliveries: [...kernel, telemetry(shift, kernel.at(-1)!.at)] }
}

interface AuditEvent {
  readonly time: number
  readonly lines: readonly string[]
}

/** Lines that share a stamp are one audit event. */
function auditEvents(text: string): readonly AuditEvent[] {
  const events = new Map<string, { time: number; lines: string[] }>()
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const [, seconds, serial] = STAMP.exec(line)!
    const event = events.get(serial!) ?? { time: Math.round(Number(seconds) * 1_000), lines: [] }
    event.lines.push(line)
    events.set(serial!, event)
  }
  return [...events.values()]
}

/** Reads and connects, in words. */
function inWords({ lines }: AuditEvent): string | undefined {
  const text = lines.join('\n')
  const program = /\bexe="[^"]*?([^"/]+)"/.exec(text)?.[1]
  const file = SENSITIVE.test(text) ? / name="([^"]+)"/.exec(text)?.[1] : undefined
  if (file !== undefined) return `${program} reads ${file}`
  const [, address, port] = /\bladdr=(\S+) lport=(\d+)/.exec(text) ?? []
  return address === undefined ? undefined : `${program} connects to ${address}:${port}`
}

function moved(line: string, shift: number, serials: number): string {
  return line.replace(STAMP, (_, seconds: string, serial: string) => {
    const time = (Math.round(Number(seconds) * 1_000) + shift) / 1_000
    return `msg=audit(${time.toFixed(3)}:${Number(serial) + serials})`
  })
}

const NANOS = /"((?:observedT|t)imeUnixNano)": "(\d+)"/g
const ISO_TIME = /\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g
const RECORDED_SESSION = /"key": "session\.id",\s*"value": \{\s*"stringValue": "([0-9a-f-]{36})"/

function telemetry(shift: number, at: number): Delivery {
  const recorded = readFileSync(join(FOLDER, 'telemetry.json'), 'utf8')
  const session = RECORDED_SESSION.exec(recorded)![1]!
  const body = recorded
    .replaceAll(session, randomUUID())
    .replace(NANOS, (_, name: string, nanos: string) => `"${name}": "${BigInt(nanos) + BigInt(shift) * 1_000_000n}"`)
    .replace(ISO_TIME, (text) => new Date(Date.parse(text) + shift).toISOString())
  return { at, path: '/v1/logs', type: 'application/json', body, records: [...body.matchAll(/"timeUnixNano"/g)].length }
}
