import type { Message, Producer } from 'kafkajs'
import { expect, test } from 'vitest'
import { Appender } from './appender.ts'
import { type KafkaClient, partitionOfKey } from './client.ts'
import { MAX_RECORD_BYTES } from './settings.ts'

/** Producers that write to an array, one per partition, until `fails` says otherwise. */
function broker(fails: (request: number) => boolean = () => false) {
  const log = new Map<number, string[]>()
  const sent: Message[] = []
  const requests: { producer: number; count: number; atOnce: number }[] = []
  let producers = 0
  let atOnce = 0
  const client = {
    producer: () => {
      const producer = ++producers
      return {
        connect: async () => {},
        disconnect: async () => {},
        send: async ({ messages }: { messages: readonly Message[] }) => {
          atOnce++
          requests.push({ producer, count: messages.length, atOnce })
          const failing = fails(requests.length)
          await new Promise((resolve) => setTimeout(resolve, 2))
          atOnce--
          if (failing) throw new Error('planned')
          const partition = messages[0]!.partition!
          expect(messages.every((message) => message.partition === partition)).toBe(true)
          const records = log.get(partition) ?? []
          sent.push(...messages)
          const baseOffset = String(records.length)
          log.set(partition, [...records, ...messages.map(({ value }) => String(value))])
          return [{ topicName: 't', partition, errorCode: 0, baseOffset }]
        },
      } as unknown as Producer
    },
  } as unknown as KafkaClient
  return { client, log, sent, requests }
}
const to = (partitions: number, compacted = false) => ({ topic: 't', partitions, compacted })
const values = (from: number, count: number, partition = 0) =>
  Array.from({ length: count }, (_, at) => ({ key: '', partition, value: from + at }))

test('what waits together goes together, one request at a time, in order', async () => {
  const { client, log, requests } = broker()
  const appender = new Appender(client, 'none')
  const places = await Promise.all(Array.from({ length: 50 }, (_, at) => appender.append(to(1), values(at * 10, 10))))
  expect(log.get(0)).toEqual(Array.from({ length: 500 }, (_, n) => String(n)))
  expect(places.flat().map(({ offset }) => offset)).toEqual(Array.from({ length: 500 }, (_, n) => n))
  expect(requests.length).toBeLessThan(5)
  expect(Math.max(...requests.map(({ atOnce }) => atOnce))).toBe(1)
})

test('nothing overtakes what was not written: all that waits behind a failure fails too', async () => {
  const { client, log } = broker((request) => request === 1)
  const appender = new Appender(client, 'none')
  const large = values(0, 1).concat({ key: '', partition: 0, value: 'x'.repeat(2_000_000) as never }, values(2, 1))
  const [first, second] = await Promise.allSettled([appender.append(to(1), large), appender.append(to(1), values(7, 1))])
  expect([first!.status, second!.status]).toEqual(['rejected', 'rejected'])
  expect(log.get(0)).toBeUndefined()
  await appender.append(to(1), values(7, 1))
  expect(log.get(0)).toEqual(['7'])
})

test('a producer that failed is not used again; the other partitions’ requests on it end well', async () => {
  const { client, log, requests } = broker((request) => request === 1)
  const appender = new Appender(client, 'none')
  const results = await Promise.allSettled([appender.append(to(2), values(0, 1)), appender.append(to(2), values(5, 1, 1))])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
  await appender.append(to(2), values(0, 1))
  expect(requests.map(({ producer }) => producer)).toEqual([1, 1, 2])
  expect(log.get(0)).toEqual(['0'])
})

test('a record that no topic takes is refused before anything is sent', async () => {
  const { client, requests } = broker()
  const record = { key: '', value: 'x'.repeat(MAX_RECORD_BYTES) }
  await expect(new Appender(client, 'none').append(to(1), [record])).rejects.toMatchObject({ code: 'STREAMS_RECORD_TOO_LARGE' })
  expect(requests).toEqual([])
})

/** From the tests of Kafka's own Utils.murmur2. */
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('the partition of %s is that of Java’s producer', (key, murmur2) => {
  for (const partitions of [1, 2, 6, 7, 64]) expect(partitionOfKey(key, partitions)).toBe((murmur2 & 0x7fffffff) % partitions)
})

test('null removes a key from a compacted topic, and is a value in any other', async () => {
  const { client, log, sent } = broker()
  const appender = new Appender(client, 'none')
  await appender.append(to(1), [{ key: 'k', value: null }])
  await appender.append(to(1, true), [{ key: 'k', value: null }])
  expect(log.get(0)).toHaveLength(2)
  expect(sent.map(({ key, value }) => [key, value && String(value)])).toEqual([
    ['k', 'null'],
    ['k', null],
  ])
})
