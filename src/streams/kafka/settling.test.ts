import { expect, test } from 'vitest'
import { onceSettled } from './settling.ts'

/** As kafkajs tells them: what made it give up stands behind what it says. */
const refusal = (type: string) => new Error(type, { cause: { type } })

/** Answers with these errors one after the other, then with their number. */
function broker(...refusals: readonly Error[]) {
  let asked = 0
  return async () => {
    const refused = refusals[asked++]
    if (refused !== undefined) throw refused
    return asked - 1
  }
}

test('asks again while the brokers choose a leader, or hear of a topic', async () => {
  expect(await onceSettled(broker(refusal('NOT_LEADER_FOR_PARTITION'), refusal('UNKNOWN_TOPIC_OR_PARTITION')))).toBe(2)
})

test('any other refusal is told at once', async () => {
  await expect(onceSettled(broker(refusal('TOPIC_AUTHORIZATION_FAILED')))).rejects.toThrow('TOPIC_AUTHORIZATION_FAILED')
  await expect(onceSettled(broker(new Error('gone')))).rejects.toThrow('gone')
})

test('whoever is closing does not wait', async () => {
  await expect(onceSettled(broker(refusal('LEADER_NOT_AVAILABLE')), AbortSignal.abort())).rejects.toThrow('LEADER_NOT_AVAILABLE')
})
