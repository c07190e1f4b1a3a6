import { createRequire } from 'node:module'

/** What is asked of the queue of requests that kafkajs (2.2.4, pinned) keeps for each connection. */
export interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly throttleCheckTimeoutId: unknown
  scheduleCheckPendingRequests(): void
}

interface RequestQueueClass {
  new (options: object): RequestQueue
  readonly prototype: RequestQueue
}

export const RequestQueue: RequestQueueClass = createRequire(import.meta.url)('kafkajs/src/network/requestQueue')

/**
 * Lets a connection rest while it has nothing to send. By itself its queue sets a timer to look for waiting requests after every answer,
 * whether any wait or not, and again each time the timer is through. Without a throttle that timer is due in the past, so that it comes
 * every millisecond for as long as the connection lives, and Node warns of it (`TimeoutNegativeWarning`). A request that has to wait sets
 * the timer when it is queued, so nothing waits longer than before.
 */
export function restWhenIdle({ prototype }: RequestQueueClass): void {
  const schedule = prototype.scheduleCheckPendingRequests
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this)
  }
}
