import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer as KafkaConsumer, KafkaMessage } from 'kafkajs'
import { afterEach, expect, test } from 'vitest'
import { eventually } from '../../../test/kits/streams.ts'
import type { PartitionHandler } from '../log.ts'
import type { KafkaClient } from './client.ts'
import { GroupConsumer } from './group-consumer.ts'

const FAST = { look: 10, stalled: 60, joined: 100, restart: 5 }
const TOPIC = 't'
const events = { GROUP_JOIN: 'join', REBALANCING: 'rebalancing', CRASH: 'crash' } as const

const message = (offset: number) =>
  ({ offset: String(offset), timestamp: '1', key: null, attributes: 0, value: Buffer.from(String(offset)) }) as KafkaMessage

/** What kafkajs' consumer does, as far as this side of it can tell, by hand. */
class FakeConsumer {
  readonly events = events
  readonly paused = new Set<number>()
  readonly sought: number[] = []
  readonly committed: string[] = []
  disconnected = false
  joins = true
  /** What the group does while this one leaves it. */
  atFarewell: () => void = () => {}
  private readonly listeners = new Map<string, (event: { payload: unknown }) => void>()
  private batch: (payload: unknown) => Promise<void> = async () => {}

  on(event: string, listener: (event: { payload: unknown }) => void) {
    this.listeners.set(event, listener)
  }
  async connect() {}
  async subscribe() {}
  async run({ eachBatch }: { eachBatch: (payload: unknown) => Promise<void> }) {
    this.batch = eachBatch
    if (this.joins) this.join([0])
  }
  join(partitions: number[]) {
    this.listeners.get(events.GROUP_JOIN)!({ payload: { memberAssignment: { [TOPIC]: partitions } } })
  }
  rebalance() {
    this.listeners.get(events.REBALANCING)!({ payload: {} })
  }
  crash() {
    this.listeners.get(events.CRASH)!({ payload: { error: new Error('planned') } })
  }
  give(from: number, to: number) {
    return this.giveThese(Array.from({ length: to - from }, (_, at) => message(from + at)))
  }
  giveThese(messages: KafkaMessage[]) {
    return this.batch({ batch: { topic: TOPIC, partition: 0, messages } })
  }
  pause([{ partitions }]: [{ partitions: number[] }]) {
    for (const partition of partitions) this.paused.add(partition)
  }
  resume([{ partitions }]: [{ partitions: number[] }]) {
    for (const partition of partitions) this.paused.delete(partition)
  }
  seek({ offset }: { offset: string }) {
    this.sought.push(Number(offset))
  }
  async commitOffsets([{ offset }]: [{ offset: string }]) {
    this.committed.push(offset)
  }
  async disconnect() {
    this.atFarewell()
    this.disconnected = true
  }
}

const stopping: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stopping.splice(0)) await stop()
})

interface Situation {
  readonly compacted?: boolean
  /** Where the partition ends. */
  readonly high?: number
  /** Whether each member in turn joins its group. */
  readonly joins?: readonly boolean[]
  readonly handle?: () => Promise<void>
}

function begin({ compacted = false, high = 0, joins = [], handle = async () => {} }: Situation = {}) {
  const members: FakeConsumer[] = []
  const handled: number[] = []
  const errors: { code?: string }[] = []
  const state = { high, next: 0, opened: 0 }
  const handler: PartitionHandler<unknown> = {
    open: async () => {
      state.opened++
      return state.next
    },
    handle: async (_, entries) => {
      await handle()
      handled.push(...entries.map(({ value }) => value as number))
      state.next = entries.at(-1)!.offset + 1
    },
    close: async () => {},
  }
  const client = {
    consumer: () => {
      const member = new FakeConsumer()
      member.joins = joins[members.length] ?? true
      members.push(member)
      return member as unknown as KafkaConsumer
    },
  } as Pick<KafkaClient, 'consumer'>
  const extents = async () => new Map([[0, { low: 0, high: state.high }]])
  const onError = (error: unknown) => void errors.push(error as { code?: string })
  const consumer = new GroupConsumer({ client, topic: TOPIC, compacted, group: 'g', handler, extents, onError, timing: FAST })
  stopping.push(() => consumer.stop())
  return { consumer, members, handled, errors, state }
}

test('a member that gets nothing although there is something is replaced; one that has read everything is not', async () => {
  const { consumer, members, handled, errors, state } = begin()
  await consumer.started()
  await sleep(150)
  expect(members).toHaveLength(1)
  state.high = 3
  await members[0]!.give(0, 3)
  await sleep(150)
  expect(members).toHaveLength(1)
  state.high = 5
  await eventually(() => members.length === 2 && members[1]!.sought.length === 1)
  expect(errors.map(({ code }) => code)).toEqual(['STREAMS_STALLED'])
  expect(members[0]!.disconnected).toBe(true)
  expect(members[1]!.sought).toEqual([3])
  // What the old one still brings goes nowhere, and ends it.
  await expect(members[0]!.give(3, 5)).rejects.toThrow()
  await members[1]!.give(3, 5)
  await consumer.drained()
  expect(handled).toEqual([0, 1, 2, 3, 4])
})

test('a handler that takes long is not a stall, and neither is a partition paused for it', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  const { consumer, members } = begin({ high: 3, handle: () => held })
  await consumer.started()
  await members[0]!.give(0, 3)
  await sleep(200)
  expect(members).toHaveLength(1)
  release()
  await consumer.drained()
})

test('a member that never joins is replaced, and so is one that crashes', async () => {
  const { consumer, members, errors } = begin({ joins: [false, true] })
  await consumer.started()
  expect(members).toHaveLength(2)
  expect(errors[0]).toMatchObject({ code: 'STREAMS_STALLED' })
  members[1]!.crash()
  await eventually(() => members.length === 3)
  expect(errors[1]).toMatchObject({ code: 'STREAMS_KAFKA' })
})

test('a rebalance closes the partitions and opens what is assigned then, from where the handler stands', async () => {
  const { consumer, members, state, handled } = begin({ high: 9 })
  await consumer.started()
  const [member] = members
  await member!.give(0, 4)
  await eventually(() => handled.length === 4)
  member!.rebalance()
  // Fetched before the rebalance, and nobody's now.
  await member!.give(4, 6)
  state.next = 2
  member!.join([0])
  await eventually(() => state.opened === 2 && member!.sought.length === 2)
  expect(member!.sought).toEqual([0, 2])
  // A fetch from before the seek is no answer to it.
  await member!.give(6, 9)
  expect(member!.sought).toEqual([0, 2, 2])
  await member!.give(2, 9)
  await consumer.drained()
  expect(handled).toEqual([0, 1, 2, 3, 2, 3, 4, 5, 6, 7, 8])
})

test('what the group decides while a member leaves is opened by nobody', async () => {
  const { consumer, members, state } = begin()
  await consumer.started()
  members[0]!.atFarewell = () => {
    members[0]!.rebalance()
    members[0]!.join([0])
  }
  await consumer.stop()
  await sleep(20)
  expect(state.opened).toBe(1)
})

test('records that the broker deleted unread are told, and the rest is read', async () => {
  const { consumer, members, handled, errors } = begin({ high: 9 })
  await consumer.started()
  await members[0]!.give(5, 9)
  expect(errors).toEqual([])
  await members[0]!.give(5, 9)
  await consumer.drained()
  expect(handled).toEqual([5, 6, 7, 8])
  expect(errors).toMatchObject([{ code: 'STREAMS_RETENTION' }])
})

test('holes of a compacted topic are nothing to tell, and a record without value is no entry', async () => {
  const { consumer, members, handled, errors } = begin({ compacted: true, high: 9 })
  await consumer.started()
  const [member] = members
  const some = () => member!.giveThese([message(2), { ...message(5), value: null }, message(7), { ...message(8), value: null }])
  await some()
  await some()
  await consumer.drained()
  expect(handled).toEqual([2, 7])
  expect(errors).toEqual([])
})

test('what is not taken yet pauses the partition, in bytes, and taking it resumes', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  const { consumer, members, handled } = begin({ high: 100, handle: () => held })
  await consumer.started()
  const [member] = members
  const big = (offset: number) => ({ ...message(offset), value: Buffer.from(`"${'x'.repeat(1_000_000)}"`) })
  const push = (offset: number) => member!.giveThese([big(offset)])
  for (let offset = 0; offset < 5; offset++) await push(offset)
  expect(member!.paused.size).toBe(0)
  for (let offset = 5; offset < 12; offset++) await push(offset)
  expect([...member!.paused]).toEqual([0])
  release()
  await eventually(() => handled.length === 12)
  expect(member!.paused.size).toBe(0)
})

test('the group is told how far it is, now and then and at the end', async () => {
  const { consumer, members, handled } = begin({ high: 6 })
  await consumer.started()
  await members[0]!.give(0, 4)
  await eventually(() => members[0]!.committed.includes('4'))
  await members[0]!.give(4, 6)
  await eventually(() => handled.length === 6)
  await consumer.stop()
  expect(members[0]!.committed.at(-1)).toBe('6')
})
