/** What the breaker of a responder is: `open` lets nothing through, `half-open` one effect, whose fate decides. */
export type BreakerState = 'closed' | 'open' | 'half-open'

/** Calls that are looked back on, in milliseconds; fewer than {@link ENOUGH} of them say nothing. */
const WINDOW = 60_000
const ENOUGH = 10
const TOO_MANY = 0.5
/** How long nothing is tried, first and at most: it doubles with each trial that fails. Milliseconds. */
const FIRST_REST = 5_000
const LONGEST_REST = 60_000

/**
 * The circuit breaker of one responder: opens when half of at least ten calls within a minute failed, so that a vendor that is down is
 * neither flooded nor waited for by everything at once. What waits behind it fails at nothing and uses up no budget. It lives as long
 * as its process: each node learns by itself.
 */
export class Breaker {
  #calls: { readonly at: number; readonly ok: boolean }[] = []
  #openUntil: number | undefined
  #rest = FIRST_REST
  readonly #onChange: (state: 'closed' | 'open', until: number) => void

  /** @param onChange told when it opens for the first time, and when it closes again */
  constructor(onChange: (state: 'closed' | 'open', until: number) => void = () => {}) {
    this.#onChange = onChange
  }

  state(now: number): BreakerState {
    if (this.#openUntil === undefined) return 'closed'
    return now < this.#openUntil ? 'open' : 'half-open'
  }

  /** Until when nothing is let through; undefined while it is closed. */
  get openUntil(): number | undefined {
    return this.#openUntil
  }

  /** One call has ended. What was under way when the breaker opened may close it, too: the vendor answers. */
  called(ok: boolean, now: number): void {
    if (this.#openUntil !== undefined) {
      if (ok) this.#close(now)
      else if (now >= this.#openUntil) this.#open(now, Math.min(LONGEST_REST, this.#rest * 2))
      return
    }
    this.#calls = [...this.#calls.filter(({ at }) => at > now - WINDOW), { at: now, ok }]
    const failed = this.#calls.filter((call) => !call.ok).length
    if (this.#calls.length >= ENOUGH && failed >= this.#calls.length * TOO_MANY) {
      this.#open(now, FIRST_REST)
      this.#onChange('open', this.#openUntil ?? now)
    }
  }

  #open(now: number, rest: number): void {
    this.#rest = rest
    this.#openUntil = now + rest
    this.#calls = []
  }

  #close(now: number): void {
    this.#openUntil = undefined
    this.#onChange('closed', now)
  }
}
