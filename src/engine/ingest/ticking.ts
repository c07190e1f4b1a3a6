import { setTimeout as sleep } from 'node:timers/promises'
import type { EventRecord } from '../../event/event.ts'

const EVERY = 1_000
const FAREWELL = 5_000

export interface TickingSettings {
  readonly node: string
  /** Resolves when every partition of the events log has the tick. */
  readonly send: (tick: EventRecord & { kind: 'tick' }) => Promise<void>
  /** Whether the node takes nothing in at the moment, though something may be waiting. */
  readonly paused: () => boolean
  /** Told of the first of several failures in a row. */
  readonly onError: (error: unknown) => void
  /** Milliseconds between ticks, and how long a node that stops tries to say goodbye. */
  readonly every?: number
  readonly farewell?: number
}

/**
 * Says each second that an ingest node is alive, so that silence can be told from absence (docs/design.md section 5, "Progress"). A tick
 * that cannot be sent holds up the next ones: a node that gets nothing in is not heard.
 */
export class Ticking {
  private readonly settings: TickingSettings
  private readonly stopping = new AbortController()
  private readonly running: Promise<void>
  private failed = false

  constructor(settings: TickingSettings) {
    this.settings = settings
    this.running = this.run()
  }

  /** The last tick: nobody has to wait for this node any more. To be called when all that it took is in the log. */
  async leave(): Promise<void> {
    this.stopping.abort()
    const goodbye = this.running.then(() => this.send({ paused: false, leaving: true }))
    // A log that takes nothing must not keep the node: it is missed then, as it should be.
    await Promise.race([goodbye, sleep(this.settings.farewell ?? FAREWELL, undefined, { ref: false })])
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      const next = sleep(this.settings.every ?? EVERY, undefined, { signal }).catch(() => {})
      await this.send({ paused: this.settings.paused() })
      await next
    }
  }

  private async send(state: { readonly paused: boolean; readonly leaving?: true }): Promise<void> {
    const { node, send, onError } = this.settings
    try {
      await send({ kind: 'tick', node, ...state })
      this.failed = false
    } catch (error) {
      if (!this.failed) onError(error)
      this.failed = true
    }
  }
}
