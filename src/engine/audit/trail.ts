import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditFact } from '../../audit/fact.ts'
import type { AuditLog } from '../../audit/log.ts'
import { CordonError, messageOf } from '../../event/error.ts'
import type { Audit } from '../../response/runner.ts'
import type { Ledger } from '../../stores/ledger.ts'

/** Milliseconds. */
const LOOK = 1_000
const SIGN_AFTER = 60_000
/** A log that waits for a person is tried again, and not too often: where it is damaged, much of it is read. A full disk has space at any time. */
const REOPEN_AFTER = 30_000
const SIGN_AT = 1_000
const PAGE = 500

export interface TrailPorts {
  readonly open: () => Promise<AuditLog>
  /** Called once, with the log that was opened: what is to stand in it first. */
  readonly onOpen: (log: AuditLog) => readonly AuditFact[]
  /** Told of each signed checkpoint. */
  readonly onCheckpoint: (note: string) => void
  /** Told once of each thing that goes wrong. */
  readonly onProblem: (problem: CordonError) => void
  readonly probe: (point: 'audit-appended') => void
}

/**
 * Brings facts to the audit log of a node: those that the ledger holds for it, in the order of its commits, and those that the node
 * tells itself. What the ledger holds is dropped there only when it is on the log's disk; the log knows what comes twice.
 */
export class Trail implements Audit {
  readonly #ports: TrailPorts
  #ledger: Ledger | undefined
  #log: AuditLog | undefined
  #problem: CordonError | undefined
  #replaced: CordonError | undefined
  /** Nobody looked yet whether the log that was opened took the place of another. */
  #isUnjudged = true
  #reopenAt = 0
  #own: AuditFact[] = []
  #signedAt = Date.now()
  #draining: Promise<void> = Promise.resolve()
  /** A drain that has not begun yet: whoever asks meanwhile shares it. */
  #next: Promise<void> | undefined
  #running: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  readonly #stopping = new AbortController()

  constructor(ports: TrailPorts) {
    this.#ports = ports
  }

  /** How many entries the log has; undefined while it is not open. */
  get size(): number | undefined {
    return this.#log?.size
  }

  problem(): CordonError | undefined {
    return this.#problem
  }

  /** The log began with this process, though there had been one. */
  replaced(): CordonError | undefined {
    return this.#replaced
  }

  /** What keeps the latest checkpoints from being kept elsewhere, too. */
  witnessProblem(): CordonError | undefined {
    return this.#log?.witness?.problem()
  }

  /** Facts of the node itself, that no ledger holds. */
  tell(...facts: readonly AuditFact[]): void {
    this.#own.push(...facts)
    void this.written().catch(() => {})
  }

  /** From now on what this ledger holds for the node is brought to the log, too. */
  follow(ledger: Ledger): void {
    this.#ledger = ledger
  }

  written(): Promise<void> {
    this.#next ??= this.#draining
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        this.#draining = this.#drain()
        return this.#draining
      })
    return this.#next
  }

  start(): void {
    this.#running ??= this.#loop()
  }

  /** Brings what is there to the log, and signs it. From then on it takes nothing. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
    this.#signedAt = 0
    await this.written().catch(() => {})
    await this.#close()
  }

  async #close(): Promise<void> {
    await this.#log?.close()
    this.#log = undefined
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.written().catch(() => {})
      await sleep(LOOK, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  async #drain(): Promise<void> {
    try {
      const log = await this.#opened()
      await this.#noticeReplaced(log)
      // A copy: what is told while it is written waits for the next time.
      const own = [...this.#own]
      await log.append(own)
      this.#own = this.#own.slice(own.length)
      for (let waiting = await this.#waiting(); waiting.length > 0; waiting = await this.#waiting()) {
        await log.append(waiting.map(({ fact }) => fact))
        this.#ports.probe('audit-appended')
        const { place } = waiting.at(-1)!
        await this.#ledger!.transaction((transaction) => transaction.dropFacts(place))
        if (log.unsigned >= SIGN_AT) await this.#sign(log)
      }
      if (log.unsigned >= SIGN_AT || Date.now() - this.#signedAt >= SIGN_AFTER) await this.#sign(log)
      this.#problem = undefined
    } catch (error) {
      const problem = error instanceof CordonError ? error : new CordonError('AUDIT_UNWRITABLE', messageOf(error), { cause: error })
      if (this.#problem?.message !== problem.message) this.#ports.onProblem(problem)
      this.#problem = problem
      if (problem.code === 'AUDIT_DAMAGED' && this.#log !== undefined) {
        this.#reopenAt = Date.now() + REOPEN_AFTER
        await this.#close().catch(() => {})
      }
      throw problem
    }
  }

  /** Whoever takes the whole log away leaves no trace in it; the ledger knows that there was one. To be asked before it drops anything. */
  async #noticeReplaced(log: AuditLog): Promise<void> {
    if (!this.#isUnjudged || this.#ledger === undefined) return
    if (log.isNew && (await this.#ledger.isAudited())) {
      this.#replaced = new CordonError(
        'AUDIT_REPLACED',
        'the audit log of this node begins anew, though there was one: it was moved away or deleted',
        {
          hint: 'if nobody meant to, find out who did, and bring it back from a backup; the copy of its checkpoints (audit.witness) says how far it went',
        },
      )
      this.#ports.onProblem(this.#replaced)
    }
    this.#isUnjudged = false
  }

  async #waiting() {
    return (await this.#ledger?.unaudited(PAGE)) ?? []
  }

  async #opened(): Promise<AuditLog> {
    if (this.#log !== undefined) return this.#log
    if (Date.now() < this.#reopenAt && this.#problem !== undefined) throw this.#problem
    const log = await this.#ports.open().catch((error: unknown) => {
      const passes = error instanceof CordonError && error.code === 'AUDIT_UNWRITABLE'
      if (!passes) this.#reopenAt = Date.now() + REOPEN_AFTER
      throw error
    })
    this.#own = [...this.#ports.onOpen(log), ...this.#own]
    this.#log = log
    this.#isUnjudged = true
    return log
  }

  async #sign(log: AuditLog): Promise<void> {
    const note = await log.checkpoint()
    this.#signedAt = Date.now()
    if (note !== undefined) this.#ports.onCheckpoint(note)
  }
}
