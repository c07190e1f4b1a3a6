import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import './client.ts'
import { RequestQueue } from './request-queue.ts'

/** What kafkajs calls of a queue. */
interface Connection extends RequestQueue {
  push(request: object): void
  fulfillRequest(response: object): void
  maybeThrottle(milliseconds: number): void
  destroy(): void
}

function connection(): Connection {
  const logger = { debug() {}, warn() {} }
  return new RequestQueue({ maxInFlightRequests: 1, requestTimeout: 1_000, clientId: 'cordon', broker: 'b:9092', logger }) as Connection
}

function request(correlationId: number, sendRequest: () => void): object {
  const entry = { correlationId, apiName: 'Fetch', apiKey: 1, apiVersion: 0, resolve() {}, reject() {} }
  return { entry, expectResponse: true, sendRequest }
}

test('a connection that has nothing to send sets no timer', () => {
  const queue = connection()
  queue.push(request(1, () => {}))
  queue.fulfillRequest({ correlationId: 1, payload: null, size: 0 })
  expect(queue.throttleCheckTimeoutId).toBeNull()
})

test('what has to wait, for an answer or for the end of a throttle, is sent then', async () => {
  const queue = connection()
  const sent: number[] = []
  queue.push(request(1, () => sent.push(1)))
  queue.push(request(2, () => sent.push(2)))
  expect(sent).toEqual([1])
  queue.fulfillRequest({ correlationId: 1, payload: null, size: 0 })
  expect(sent).toEqual([1, 2])
  queue.fulfillRequest({ correlationId: 2, payload: null, size: 0 })

  queue.maybeThrottle(30)
  queue.push(request(3, () => sent.push(3)))
  expect(sent).toEqual([1, 2])
  await vi.waitFor(() => expect(sent).toEqual([1, 2, 3]))
  queue.fulfillRequest({ correlationId: 3, payload: null, size: 0 })
  await sleep(20)
  expect(queue.throttleCheckTimeoutId).toBeNull()
  queue.destroy()
})
