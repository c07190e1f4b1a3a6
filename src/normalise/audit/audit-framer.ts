import type { JsonObject } from '../../event/json.ts'
import { type BadRecord, type Framer, type InputLine, unreadable, type VendorRecord } from '../normaliser.ts'
import { type AuditLine, readAuditLine } from './audit-line.ts'

/** Records of one event arrive within milliseconds; auditd 3.0.9 writes no end record for most, so silence ends an event too. */
const OPEN_MILLIS = 2000
/** More events than this are never open at once on a real host; beyond it the oldest is given out as it is. */
const OPEN_LIMIT = 4096

/** Record types that are part of an event of several records. All others (USER_LOGIN, SERVICE_START …) stand alone. */
const PARTS = new Set([
  'SYSCALL',
  'PATH',
  'CWD',
  'EXECVE',
  'SOCKADDR',
  'PROCTITLE',
  'EOE',
  'IPC',
  'IPC_SET_PERM',
  'SOCKETCALL',
  'FD_PAIR',
  'OBJ_PID',
  'MMAP',
  'CAPSET',
  'BPRM_FCAPS',
  'MQ_OPEN',
  'MQ_SENDRECV',
  'MQ_NOTIFY',
  'MQ_GETSETATTR',
  'KERN_MODULE',
  'KERNEL_OTHER',
  'NETFILTER_CFG',
  'FANOTIFY',
  'TIME_INJOFFSET',
  'TIME_ADJNTPVAL',
  'BPF',
  'EVENT_LISTENER',
  'URINGOP',
  'OPENAT2',
  'AVC',
  'SELINUX_ERR',
  'CONFIG_CHANGE',
  'ANOM_PROMISCUOUS',
  'INTEGRITY_DATA',
  'INTEGRITY_PCR',
  'INTEGRITY_RULE',
  'TTY',
  'MAC_POLICY_LOAD',
  'MAC_STATUS',
])

interface OpenEvent {
  readonly node: string | undefined
  readonly stamp: string
  readonly time: number
  readonly records: JsonObject[]
  readonly line: number
  readonly offset: number
  readonly opened: number
}

/**
 * Groups lines by `msg=audit(time:serial)`, also where the lines of several events interleave. An event is complete with its EOE or
 * PROCTITLE record, when its log has moved on by two seconds, or when nothing came for two.
 */
export function auditFramer(): Framer {
  // Insertion order is the order of first lines, so the first entry is the oldest in input and holds the acknowledgement back.
  const open = new Map<string, OpenEvent>()

  const giveOut = (keys: readonly string[]): VendorRecord[] =>
    keys.flatMap((key) => {
      const event = open.get(key)
      open.delete(key)
      return event === undefined ? [] : [toRecord(event)]
    })

  const oldestWhile = (test: (event: OpenEvent) => boolean): string[] => {
    const keys: string[] = []
    for (const [key, event] of open) if (test(event)) keys.push(key)
    return keys
  }

  return {
    push(line, now) {
      if (line.problem !== undefined) return [unreadable(line, line.problem)]
      if (line.text.trim() === '') return []
      const read = readAuditLine(line.text)
      if (read === undefined) return [badLine(line)]
      const key = `${read.node ?? ''} ${read.stamp}`
      const time = stampTime(read.stamp)
      const overtaken = open.size === 0 ? [] : giveOut(oldestWhile((event) => event.time < time - OPEN_MILLIS && event.node === read.node))
      const { type } = read.record
      const event = open.get(key)
      if (event !== undefined) {
        if (type !== 'EOE') event.records.push(read.record)
        return type === 'EOE' || type === 'PROCTITLE' ? [...overtaken, ...giveOut([key])] : overtaken
      }
      // The end of an event that its PROCTITLE had completed.
      if (type === 'EOE') return overtaken
      const started = startEvent(read, line, time, now)
      if (!PARTS.has(type) || type === 'PROCTITLE') return [...overtaken, toRecord(started)]
      open.set(key, started)
      return open.size > OPEN_LIMIT ? [...overtaken, ...giveOut([open.keys().next().value!])] : overtaken
    },
    flush: (now) => (open.size === 0 ? [] : giveOut(oldestWhile((event) => now === undefined || event.opened <= now - OPEN_MILLIS))),
    pendingOffset() {
      for (const event of open.values()) return event.offset
      return undefined
    },
  }
}

function startEvent(read: AuditLine, line: InputLine, time: number, now: number): OpenEvent {
  return { node: read.node, stamp: read.stamp, time, records: [read.record], line: line.line, offset: line.offset, opened: now }
}

function toRecord({ node, stamp, records, line, offset }: OpenEvent): VendorRecord {
  return { value: { ...(node === undefined ? {} : { node }), stamp, records }, line, offset }
}

/** Milliseconds since the epoch of a `seconds.millis:serial` stamp. */
export function stampTime(stamp: string): number {
  return Math.round(Number(stamp.slice(0, stamp.indexOf(':'))) * 1000)
}

function badLine(line: InputLine): BadRecord {
  const reason = 'not a line of the kernel audit log: expected "type=… msg=audit(time:serial): …"'
  return unreadable(line, { code: 'AUDIT_LINE_INVALID', reason })
}
