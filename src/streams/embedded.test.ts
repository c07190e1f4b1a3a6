import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collector, numbered, streamsConformance } from '../../test/kits/streams.ts'
import { type EmbeddedStreams, openEmbeddedStreams } from './embedded.ts'

streamsConformance('embedded', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-streams-'))
  return {
    open: async () => openEmbeddedStreams({ folder, partitions: 2 }),
    takesIdsOnce: true,
    stop: async () => rmSync(folder, { recursive: true }),
  }
})

let folder: string
let streams: EmbeddedStreams
let clock: number
const open = (partitions = 2) => openEmbeddedStreams({ folder, partitions, now: () => clock })

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-streams-'))
  clock = 1_000
  streams = open()
})
afterEach(async () => {
  await streams.close()
  rmSync(folder, { recursive: true })
})

describe('embedded streams', () => {
  it('stamps monotonically even if the clock goes back, also across a restart', async () => {
    await streams.append('events', numbered(1))
    clock = 500
    await streams.close()
    streams = open()
    await streams.append('events', numbered(1))
    expect((await streams.read('events', 0, 0, 9)).concat(await streams.read('events', 1, 0, 9)).map(({ appended }) => appended)).toEqual([
      1_000, 1_000,
    ])
  })

  it('refuses another number of partitions', async () => {
    await streams.close()
    expect(() => open(3)).toThrow(expect.objectContaining({ code: 'STREAMS_PARTITIONS' }))
    streams = open()
  })

  it('trims by age and by size, but neither what is unread nor the newest entry', async () => {
    await streams.append('alerts', numbered(10))
    const { handler } = collector()
    const stuck = streams.consume<{ n: number }>('alerts', 'stuck', {
      ...handler,
      handle: (partition, entries) => handler.handle(partition, entries.slice(0, 4)).then(() => Promise.reject(new Error('planned'))),
    })
    await new Promise((resolve) => setTimeout(resolve, 700))
    await stuck.stop()
    expect(streams.trim('alerts', { before: 2_000, maxBytes: 1e9 })).toBe(4)
    await streams.close()
    streams = open()
    expect(streams.trim('alerts', { before: 0, maxBytes: 1 })).toBe(1)
    expect(streams.trim('alerts', { before: 2_000, maxBytes: 1e9 })).toBe(4)
    await streams.close()
    streams = open()
    expect(await streams.append('alerts', numbered(1))).toEqual([{ partition: 0, offset: 10, duplicate: false }])
  })
})
