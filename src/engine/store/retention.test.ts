import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type EmbeddedStreams, openEmbeddedStreams } from '../../streams/embedded.ts'
import type { LogName } from '../../streams/log.ts'
import { trimLogs } from './retention.ts'

const HOUR = 3_600_000
const KEPT = { events: { age: 24 * HOUR, size: 1e9 }, signals: {}, alerts: {}, dead_letters: {} }
let folder: string
let streams: EmbeddedStreams
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-retention-'))
  vi.useFakeTimers({ toFake: ['Date'], now: 1_000 * HOUR })
  streams = openEmbeddedStreams({ folder, partitions: 1 })
})
afterEach(async () => {
  await streams.close()
  vi.useRealTimers()
  rmSync(folder, { recursive: true })
})

const CLASSES = ['events', 'signals', 'alerts', 'dead-letters'] as const
const settingOf = (log: LogName) => log.replace('-', '_')
const left = async (log: LogName) => (await streams.read<{ n: number }>(log, 0, 0, 1_000)).map(({ value }) => value.n)
const fill = async (n: number, padding = '') => {
  for (const log of CLASSES) await streams.append(log, [{ key: 'k', value: { n, padding } }])
}

test.each(CLASSES)('%s have an age of their own', async (log) => {
  await fill(1)
  vi.setSystemTime(1_002 * HOUR)
  await fill(2)
  trimLogs(streams, { ...KEPT, [settingOf(log)]: { ...KEPT.events, age: HOUR } }, Date.now())
  for (const other of CLASSES) {
    // What says nothing follows the events.
    const short = other === log || log === 'events'
    expect([other, await left(other)]).toEqual([other, short ? [2] : [1, 2]])
  }
})

test.each(CLASSES)('%s have a size of their own: the oldest go while they are larger', async (log) => {
  for (let n = 0; n < 40; n++) await fill(n, 'x'.repeat(10_000))
  const settings = { ...KEPT, [settingOf(log)]: { ...KEPT.events, size: 200_000 } }
  for (let minute = 0; minute < 40; minute++) trimLogs(streams, settings, Date.now())
  for (const other of CLASSES) {
    const found = await left(other)
    expect(found.at(-1)).toBe(39)
    const limited = other === log || log === 'events'
    expect([other, limited ? found.length < 25 && found.length > 5 : found.length === 40]).toEqual([other, true])
  }
})
