import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { CordonError } from '../../src/event/error.ts'
import { EmbeddedStreams } from '../../src/streams/embedded.ts'
import type { KafkaSettings } from '../../src/streams/kafka/settings.ts'
import { openKafkaStreams, prepareTopics } from '../../src/streams/kafka.ts'
import { LOGS, type Streams } from '../../src/streams/log.ts'
import { alterTopic } from '../kits/kafka-admin.ts'
import { alertSet, CorrelatingNode, correlateWorker, feed, memoryFolder, recordedSignals } from '../kits/signals.ts'
import { collector, eventually, numbered, numbersOf, streamsConformance } from '../kits/streams.ts'
import { startKafka, USERS } from './servers/kafka.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('kafka', startKafka)
afterAll(() => server?.stop())

const DAY = 86_400_000
const HEARD = { timeout: 20_000, interval: 100 }
const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** Topics of their own for each test. */
function settings(changes: Partial<KafkaSettings> = {}): KafkaSettings {
  const prefix = `test-${randomUUID().slice(0, 8)}.`
  return { brokers: [server!.broker], prefix, clientId: 'test', partitions: 2, retention: 7 * DAY, compression: 'zstd', ...changes }
}

async function opened(own: KafkaSettings, onError: (error: unknown) => void = () => {}): Promise<Streams> {
  const streams = await openKafkaStreams(own, (_log, _group, error) => onError(error))
  closing.push(() => streams.close())
  return streams
}

/** Hurries the broker's cleaner, and waits until it has been through the bundles. */
async function compacted(own: KafkaSettings, streams: Streams): Promise<void> {
  const hasty = { 'segment.ms': '100', 'min.cleanable.dirty.ratio': '0.001' }
  await alterTopic(await admin(), `${own.prefix}bundles`, hasty)
  const before = (await streams.read('bundles', 0, 0, 1_000)).length
  await eventually(async () => {
    // A segment is only left alone, and so cleaned, when something comes after its time.
    await streams.append('bundles', [{ key: 'nobody', value: null }])
    await sleep(300)
    return (await streams.read('bundles', 0, 0, 1_000)).length < before / 10
  }, 60)
}

async function admin() {
  const client = new kafkajs.Kafka({ brokers: [server!.broker], logLevel: kafkajs.logLevel.NOTHING }).admin()
  await client.connect()
  closing.push(() => client.disconnect())
  return client
}

/** The codes of errors, less those of a broker that has just started and is still loading its groups. */
const grave = (errors: readonly unknown[]) =>
  errors.map((error) => (error as CordonError).code).filter((code) => code !== 'STREAMS_LOADING')

const refusal = (work: Promise<unknown>) =>
  work.then(
    () => expect.unreachable('it was accepted'),
    (error: unknown) => {
      expect(error).toBeInstanceOf(CordonError)
      expect((error as CordonError).hint).toBeTruthy()
      return (error as CordonError).code
    },
  )

describe.skipIf(server === undefined)(`on Kafka 4.4.0${note}`, () => {
  streamsConformance('kafka', async () => {
    const own = settings()
    await prepareTopics(own, { create: true })
    return { open: () => openKafkaStreams(own), takesIdsOnce: false, compacted: (streams) => compacted(own, streams), stop: async () => {} }
  })

  describe('topics', () => {
    test('are created once, as the logs need them, and then found right', async () => {
      const own = settings({ partitions: 3 })
      expect(await refusal(openKafkaStreams(own))).toBe('STREAMS_TOPIC_MISSING')
      const { created, problems } = await prepareTopics(own, { create: true })
      expect(created).toEqual(LOGS.map((log) => own.prefix + log))
      expect(problems).toEqual([])
      expect(await prepareTopics(own, { create: true })).toEqual({ created: [], problems: [] })
      const streams = await opened(own)
      expect(streams.partitions('events')).toBe(3)
    })

    test('of another number of partitions, or that keep records for too short, are named', async () => {
      const own = settings()
      await prepareTopics(own, { create: true })
      expect(await refusal(openKafkaStreams({ ...own, partitions: 8 }))).toBe('STREAMS_PARTITIONS')
      expect(await refusal(openKafkaStreams({ ...own, retention: 30 * DAY }))).toBe('STREAMS_RETENTION')
      const streams = await opened(own)
      const client = await admin()
      const configEntries = [
        { name: 'message.timestamp.type', value: 'CreateTime' },
        { name: 'retention.ms', value: String(8 * DAY) },
        { name: 'max.message.bytes', value: '1000000' },
      ]
      await client.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: `${own.prefix}signals`, configEntries }] })
      // A broker hears of a changed configuration some time after it has been accepted.
      const settingsNamed = async () =>
        (await prepareTopics(own, { create: false })).problems.map(({ message }) => /has ([\w.]+)=/.exec(message)?.[1])
      // What is not altered goes back to its default.
      await expect.poll(settingsNamed, HEARD).toEqual(['message.timestamp.type', 'max.message.bytes'])
      await expect.poll(() => streams.problem(), HEARD).toMatchObject({ code: 'STREAMS_TOPIC' })
      await client.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: `${own.prefix}bundles`, configEntries }] })
      const ofBundles = async () =>
        (await prepareTopics(own, { create: false })).problems.filter(({ message }) => message.includes('bundles'))
      await expect
        .poll(async () => (await ofBundles()).map(({ code, message }) => [code, /has ([\w.]+)=/.exec(message)?.[1]]), HEARD)
        .toContainEqual(['STREAMS_RETENTION', 'cleanup.policy'])
      expect((await ofBundles()).map(({ hint }) => hint).join()).toContain('cleanup.policy=compact')
    })

    test('of more copies than brokers are refused', async () => {
      expect(await refusal(prepareTopics(settings({ replication: 3 }), { create: true }))).toBe('STREAMS_REPLICATION')
    })
  })

  describe('connections', () => {
    const secured = (changes: Partial<KafkaSettings>) => settings({ brokers: [server!.secured], tls: { ca: server!.ca }, ...changes })
    const plain = { mechanism: 'plain', ...USERS.plain } as const

    test.each([plain, { mechanism: 'scram-sha-512', ...USERS.scram } as const])('TLS with $mechanism, gzip', async (sasl) => {
      const own = secured({ sasl, compression: 'gzip' })
      await prepareTopics(own, { create: true })
      const streams = await opened(own)
      await streams.append('alerts', numbered(10))
      const { seen, handler } = collector()
      const consumer = streams.consume('alerts', 'g', handler)
      await consumer.drained()
      await consumer.stop()
      expect(seen).toHaveLength(10)
      expect(numbersOf(await streams.read('alerts', 0, 8, 5))).toEqual([8, 9])
    })

    test('what keeps it out is named', async () => {
      expect(await refusal(openKafkaStreams(secured({ sasl: { ...plain, password: 'wrong' } })))).toBe('STREAMS_CREDENTIALS')
      expect(await refusal(openKafkaStreams(secured({ sasl: plain, tls: {} })))).toBe('STREAMS_TLS')
      expect(await refusal(openKafkaStreams(settings({ brokers: ['127.0.0.1:9'] })))).toBe('STREAMS_UNREACHABLE')
      expect(await refusal(openKafkaStreams(settings({ brokers: ['no-such-host.invalid:9092'] })))).toBe('STREAMS_UNREACHABLE')
      // Where one side speaks TLS and the other does not, the broker only hangs up; the remedy says so.
      expect(await refusal(openKafkaStreams(settings({ tls: {} })))).toBe('STREAMS_UNREACHABLE')
      expect(await refusal(openKafkaStreams(settings({ brokers: [server!.secured] })))).toBe('STREAMS_UNREACHABLE')
    })
  })

  test('a record that is not Cordon’s is named and passed over; an id travels as a header', async () => {
    const own = settings()
    await prepareTopics(own, { create: true })
    const errors: unknown[] = []
    const streams = await opened(own, (error) => errors.push(error))
    await streams.append('alerts', [{ key: 'k', id: 'alert.7', value: { n: 0 } }])
    const kafka = new kafkajs.Kafka({ brokers: own.brokers as string[], logLevel: kafkajs.logLevel.NOTHING })
    const stranger = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
    await stranger.connect()
    closing.push(() => stranger.disconnect())
    await stranger.send({ topic: `${own.prefix}alerts`, messages: [{ value: '{"n":' }, { value: null }] })
    const { seen, handler } = collector()
    const consumer = streams.consume('alerts', 'g', handler)
    await consumer.drained()
    await streams.append('alerts', numbered(1, 1))
    await consumer.drained()
    await consumer.stop()
    expect(numbersOf(seen)).toEqual([0, 1])
    expect(grave(errors)).toEqual(['STREAMS_FOREIGN_RECORD', 'STREAMS_FOREIGN_RECORD'])

    const headers: unknown[] = []
    const reader = kafka.consumer({ groupId: `${own.prefix}raw`, maxWaitTimeInMs: 100 })
    await reader.connect()
    closing.push(() => reader.disconnect())
    await reader.subscribe({ topic: `${own.prefix}alerts`, fromBeginning: true })
    await reader.run({ eachMessage: async ({ message }) => void headers.push(message.headers?.id?.toString()) })
    await eventually(() => headers.length === 4)
    expect(headers).toEqual(['alert.7', undefined, undefined, undefined])
  })

  test('topics that were made anew are not taken for the old ones', async () => {
    const own = settings()
    await prepareTopics(own, { create: true })
    const errors: unknown[] = []
    const streams = await opened(own, (error) => errors.push(error))
    const { handler, seen, next } = collector()
    next.set(0, 40)
    const consumer = streams.consume('alerts', 'g', handler)
    await streams.append('alerts', numbered(3))
    await eventually(() => grave(errors).length > 0)
    expect(grave(errors)[0]).toBe('STREAMS_TRUNCATED')
    await consumer.stop()
    expect(seen).toEqual([])
  })

  test('look-ups at the same time leave no connection behind', async () => {
    const own = settings()
    await prepareTopics(own, { create: true })
    const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
    const before = sockets()
    const streams = await openKafkaStreams(own)
    await streams.append('events', numbered(20))
    const lookUps = [0, 1].flatMap((partition) => [
      ...Array.from({ length: 10 }, () => streams.last('events', partition, () => true)),
      ...Array.from({ length: 10 }, () => streams.read('events', partition, 0, 10)),
    ])
    for (const found of await Promise.all(lookUps)) expect(found).toBeTruthy()
    await streams.close()
    await eventually(() => sockets() <= before)
  })

  test('a read goes on behind a batch that compaction has emptied, whatever the size of what comes next', async () => {
    const own = settings({ compression: 'none' })
    await prepareTopics(own, { create: true })
    const first = await openKafkaStreams(own)
    // The last batch of a producer stays, as an empty one.
    await first.append(
      'bundles',
      Array.from({ length: 300 }, (_, n) => ({ key: 'replaced', value: { n } })),
    )
    await first.close()
    const streams = await opened(own)
    await streams.append('bundles', [{ key: 'large', value: { n: 300, text: 'x'.repeat(9_000_000) } }])
    await streams.append('bundles', [{ key: 'replaced', value: { n: 301 } }])
    await compacted(own, streams)
    for (const from of [0, 150, 299]) expect(numbersOf(await streams.read('bundles', 0, from, 10))).toEqual([300, 301])
    expect((await streams.last<{ n: number }>('bundles', 0, ({ n }) => n === 300))?.value.n).toBe(300)
  })

  test('members join and leave: each partition has a worker, each entry reaches one', async () => {
    const own = settings({ partitions: 6 })
    await prepareTopics(own, { create: true })
    // What every member's handler finds where the one before left it, as with checkpoints off the node.
    const shared = collector()
    const held = (): { partitions: Set<number>; handler: typeof shared.handler } => {
      const partitions = new Set<number>()
      return {
        partitions,
        handler: {
          open: async (partition) => {
            partitions.add(partition)
            return shared.next.get(partition) ?? 0
          },
          handle: async (partition, entries) => {
            shared.seen.push(...entries)
            shared.next.set(partition, entries.at(-1)!.offset + 1)
          },
          close: async (partition) => void partitions.delete(partition),
        },
      }
    }
    const [first, second] = [held(), held()]
    const [one, other] = [await opened(own), await opened(own)]
    const consumer = one.consume('events', 'g', first.handler)
    await consumer.started()
    expect(first.partitions.size).toBe(6)

    let sent = 0
    const send = async () => {
      await one.append('events', numbered(70, sent))
      sent += 70
    }
    await send()
    const joining = other.consume('events', 'g', second.handler)
    for (let round = 0; first.partitions.size !== 3 || second.partitions.size !== 3; round++) {
      expect(round).toBeLessThan(200)
      await send()
      await sleep(50)
    }
    await send()
    await joining.stop()
    await eventually(() => first.partitions.size === 6)
    expect(second.partitions.size).toBe(0)
    await send()
    await consumer.drained()
    await consumer.stop()
    const numbers = numbersOf(shared.seen)
    expect(new Set(numbers).size).toBe(sent)
    // Two may have a partition for the length of a batch; never more, and never less than everything.
    expect(numbers.length - sent).toBeLessThan(500)
  })

  test('a state goes from member to member by the checkpoints topic; who comes back with a stale file begins where the other was', async () => {
    const own = settings()
    await prepareTopics(own, { create: true })
    const folder = memoryFolder()
    closing.push(async () => rmSync(folder, { recursive: true }))
    const batches = [...recordedSignals(21, 600, 2)]
    const third = Math.floor(batches.length / 3)
    const parts = [batches.slice(0, third), batches.slice(third, 2 * third), batches.slice(2 * third)]

    const errors: unknown[] = []
    const begun: { readonly member: string; readonly partition: number; readonly next: number }[] = []
    const member = async (name: string) => {
      const streams = await opened(own, (error) => errors.push(error))
      const worker = correlateWorker(streams, join(folder, name), (error) => errors.push(error))
      const open = async (partition: number) => {
        const next = await worker.open(partition)
        begun.push({ member: name, partition, next })
        return next
      }
      const consumer = streams.consume('signals', 'correlate', { ...worker, open })
      await consumer.started()
      /** Appends, and resolves when it has been handled, and what came of it. */
      const feed = async (part: (typeof batches)[number]) => {
        await streams.append('signals', part)
        for (let depth = 0; depth < 3; depth++) await consumer.drained()
      }
      return { streams, feed, stop: () => consumer.stop() }
    }
    const one = await member('one')
    for (const part of parts[0]!) await one.feed(part)
    await one.stop()
    const other = await member('other')
    for (const part of parts[1]!) await other.feed(part)
    await other.stop()
    const ends = await Promise.all(
      [0, 1].map(async (partition) => (await other.streams.last('signals', partition, () => true))!.offset + 1),
    )
    const again = await member('one')
    for (const part of parts[2]!) await again.feed(part)
    await again.stop()
    expect(grave(errors)).toEqual([])
    const places = (name: string) =>
      [0, 1].map((partition) => begun.filter((item) => item.member === name && item.partition === partition).at(-1)!.next)
    expect(places('other').every((next) => next > 0)).toBe(true)
    expect(places('one')).toEqual(ends)

    const calm = new EmbeddedStreams({ folder: join(folder, 'calm'), partitions: 2 })
    const node = new CorrelatingNode(calm, join(folder, 'calm'))
    await feed(calm, node, batches)
    await node.close()
    const expected = await alertSet(calm)
    await calm.close()
    expect(expected.length).toBeGreaterThan(100)
    expect(await alertSet(again.streams)).toEqual(expected)
  })

  test('a broker that is killed under load and comes back: resumed within 30 s, nothing lost', async () => {
    const own = settings()
    await prepareTopics(own, { create: true })
    const errors: unknown[] = []
    const streams = await opened(own, (error) => errors.push(error))
    const { seen, handler } = collector()
    const consumer = streams.consume('events', 'g', handler)
    await consumer.started()

    let sending = true
    let acknowledged = 0
    let refusals = 0
    const sender = (async () => {
      for (let at = 0; sending; at += 100) {
        // As every sender does: again until it is acknowledged.
        while (
          !(await streams.append('events', numbered(100, at)).then(
            () => true,
            () => false,
          ))
        ) {
          refusals++
          await sleep(100)
        }
        acknowledged = at + 100
        await sleep(5)
      }
    })()
    await eventually(() => acknowledged > 5_000)
    await server!.kill()
    await sleep(5_000)
    expect(await streams.problem()).toMatchObject({ code: 'STREAMS_UNREACHABLE' })
    const before = { acknowledged, seen: seen.length }
    await server!.start()
    const up = Date.now()
    await eventually(() => seen.length > before.seen + 200 && acknowledged > before.acknowledged + 200, 30)
    const resumed = Date.now() - up
    sending = false
    await sender
    await consumer.drained()
    await consumer.stop()
    const numbers = numbersOf(seen)
    expect(new Set(numbers).size).toBe(acknowledged)
    console.info(
      `broker back: resumed after ${resumed} ms; ${acknowledged} acknowledged, ${refusals} refused, ${numbers.length - acknowledged} twice`,
    )
    expect(await streams.problem()).toBeUndefined()
  })
})
