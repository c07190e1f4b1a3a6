import type { Draft } from '../event/event.ts'
import { getPath, getText, isObject, type Json, type JsonObject } from '../event/json.ts'
import type { AgentMatcher } from './agents.ts'

/**
 * One process that is an agent or descends from one, as ingest's database keeps it. Others are not kept: an agent's descendants are
 * known when they first act, because their parent is.
 */
export interface ProcessRow {
  readonly device: string
  readonly pid: number
  /** The agent's name; null: the process is no longer one (its pid was taken by another), forget the row. */
  readonly agent: string | null
  readonly parent: number | null
  readonly executable: string | null
  /** Milliseconds since the epoch, by the events' own times: first seen as this process, last seen (at most {@link TOUCH} behind), ended. */
  readonly since: number
  readonly seen: number
  readonly ended: number | null
}

export interface Ancestry {
  /** The agent that the event's process is or descends from. */
  readonly agent?: string
  /** Rows to store, in the transaction that appends the event. */
  readonly changes: readonly ProcessRow[]
}

export interface TreeLimits {
  /** Rows kept; beyond it the one that acted longest ago goes. Default 200,000. */
  readonly rows?: number
  /** A row that has not acted for so long no longer counts: its pid may be anyone's. Milliseconds, default 24 h. */
  readonly age?: number
}

/** How far a row's stored `seen` may lag, so that a busy process does not cost a write per event. */
const TOUCH = 600_000
/** Records of one moment may be out of order by this much, between sensors and processors of one host. */
const SLACK = 1_000

const NOTHING: Ancestry = { changes: [] }

/**
 * Which processes are AI agents or descend from one, per device. Agents run as `node`, their tools as `bash`, `cat` and `curl`, so a
 * process's own name says little. Learns from every event that names a process and its parent; what happened before the parent was
 * known to be an agent stays as it was recorded.
 */
export class ProcessTree {
  private readonly agentOf: AgentMatcher
  private readonly limit: number
  private readonly age: number
  /** In the order of their last act, so that the first is the one to evict. */
  private readonly rows = new Map<string, ProcessRow>()

  constructor(agentOf: AgentMatcher, limits: TreeLimits = {}) {
    this.agentOf = agentOf
    this.limit = limits.rows ?? 200_000
    this.age = limits.age ?? 86_400_000
  }

  /** Takes up rows that were stored, least recently seen first. */
  load(rows: Iterable<ProcessRow>): void {
    for (const row of rows) if (row.agent !== null) this.rows.set(keyOf(row.device, row.pid), row)
  }

  get size(): number {
    return this.rows.size
  }

  /** Learns from one event and answers whose process it is. `time`: when it happened, in milliseconds since the epoch. */
  apply(draft: Draft, time: number): Ancestry {
    const process = draft.ecs.process
    if (!isObject(process)) return NOTHING
    const device = getText(draft.ecs, 'device.id')
    const pid = numberAt(process.pid)
    const parent = isObject(process.parent) ? process.parent : undefined
    if (device === undefined || (pid === undefined && parent?.pid === undefined)) {
      const agent = this.agentOf(process) ?? (parent === undefined ? undefined : this.agentOf(parent))
      return agent === undefined ? NOTHING : { agent, changes: [] }
    }
    return this.learn(device, pid, process, parent, draft, time)
  }

  private learn(
    device: string,
    pid: number | undefined,
    process: JsonObject,
    parent: JsonObject | undefined,
    draft: Draft,
    time: number,
  ): Ancestry {
    const changes: ProcessRow[] = []
    const parentPid = numberAt(parent?.pid)
    const parentAgent = this.parentAgent(device, parentPid, parent, time, changes)
    // Telemetry that an agent sends of itself names it better than its process does.
    const declared = pid === undefined ? undefined : getText(draft.ecs, 'gen_ai.agent.name')
    const own = declared ?? this.agentOf(process)
    if (pid === undefined) {
      const agent = own ?? parentAgent
      return agent === undefined ? { changes } : { agent, changes }
    }

    const act = actOf(draft)
    const key = keyOf(device, pid)
    const known = this.rows.get(key)
    const executable = text(process.executable)
    const same = known !== undefined && this.isSame(known, act, parentPid, executable, time)
    const agent = own ?? (same ? known.agent! : undefined) ?? parentAgent
    if (agent === undefined) {
      // An event from before the row's process began says nothing about the row.
      if (known !== undefined && !same && time >= known.since) this.forget(key, known, changes)
      return { changes }
    }
    if (known !== undefined && !same && time < known.since) return { agent, changes }
    const row: ProcessRow = {
      device,
      pid,
      agent,
      parent: parentPid ?? (same ? known.parent : null),
      executable: executable ?? (same ? known.executable : null),
      since: same ? Math.min(known.since, time) : time,
      seen: same ? Math.max(known.seen, time) : time,
      ended: act === 'end' ? time : same ? known.ended : null,
    }
    this.keep(key, same ? known : undefined, row, changes)
    return { agent, changes }
  }

  /** Whether an event's process is the one that the row tells of, or another that was given its pid. */
  private isSame(row: ProcessRow, act: Act, parent: number | undefined, executable: string | undefined, time: number): boolean {
    if (time < row.since - SLACK || time > row.seen + this.age) return false
    if (row.ended !== null && time > row.ended + SLACK) return false
    if (act === 'fork') return false
    const adopted = parent !== undefined && row.parent !== null && parent !== row.parent
    // An orphan gets another parent and execve gives another program; both at once, unseen, is another process.
    return !adopted || executable === undefined || row.executable === null || executable === row.executable
  }

  /** The agent of the parent: by its row, else by what the event itself says of it. */
  private parentAgent(
    device: string,
    pid: number | undefined,
    parent: JsonObject | undefined,
    time: number,
    changes: ProcessRow[],
  ): string | undefined {
    const named = parent === undefined ? undefined : this.agentOf(parent)
    if (pid === undefined) return named
    const key = keyOf(device, pid)
    const row = this.rows.get(key)
    const alive =
      row !== undefined && time >= row.since - SLACK && time <= row.seen + this.age && (row.ended === null || time <= row.ended + SLACK)
    if (alive && (named === undefined || named === row.agent)) {
      this.keep(key, row, { ...row, seen: Math.max(row.seen, time) }, changes)
      return row.agent!
    }
    if (named === undefined) return undefined
    const executable = text(parent?.executable) ?? null
    this.keep(key, undefined, { device, pid, agent: named, parent: null, executable, since: time, seen: time, ended: null }, changes)
    return named
  }

  private keep(key: string, before: ProcessRow | undefined, row: ProcessRow, changes: ProcessRow[]): void {
    // A row whose `seen` alone moved is written when it has moved far enough; until then the stored one stands for it.
    const touched = before !== undefined && sameButSeen(before, row)
    const worth = !touched || row.seen - before.seen >= TOUCH
    this.rows.delete(key)
    this.rows.set(key, touched && !worth ? before : row)
    if (worth) changes.push(row)
    if (this.rows.size > this.limit) {
      const [oldest, evicted] = this.rows.entries().next().value!
      this.forget(oldest, evicted, changes)
    }
  }

  private forget(key: string, row: ProcessRow, changes: ProcessRow[]): void {
    this.rows.delete(key)
    changes.push({ ...row, agent: null })
  }
}

type Act = 'fork' | 'end' | 'other'

/** Whether the event tells of a new process under this pid, or of the end of one. An execve keeps the process and its ancestry. */
function actOf({ ecs }: Draft): Act {
  if (!includes(getPath(ecs, 'event.category'), 'process')) return 'other'
  const types = getPath(ecs, 'event.type')
  if (includes(types, 'end')) return 'end'
  return includes(types, 'start') && FORKS.has(getText(ecs, 'event.action')?.toLowerCase() ?? '') ? 'fork' : 'other'
}

const FORKS = new Set(['fork', 'vfork', 'clone'])

function includes(value: Json | undefined, item: string): boolean {
  return value === item || (Array.isArray(value) && value.includes(item))
}

function sameButSeen(a: ProcessRow, b: ProcessRow): boolean {
  return a.agent === b.agent && a.parent === b.parent && a.executable === b.executable && a.since === b.since && a.ended === b.ended
}

const keyOf = (device: string, pid: number) => `${pid} ${device}`

function numberAt(value: Json | undefined): number | undefined {
  return typeof value === 'number' ? value : undefined
}

function text(value: Json | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
