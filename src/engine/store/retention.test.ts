import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openEmbeddedStreams } from '../../streams/embedded.ts'
import { startRetention } from './retention.ts'

const HOUR = 3_600_000
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-retention-'))
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'], now: 1_000 * HOUR })
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(folder, { recursive: true })
})

test('each class of the logs has its own age', async () => {
  const streams = openEmbeddedStreams({ folder, partitions: 1 })
  const left = async (log: 'alerts' | 'dead-letters') => (await streams.read<number>(log, 0, 0, 10)).map(({ value }) => value)
  for (const log of ['alerts', 'dead-letters'] as const) await streams.append(log, [{ key: 'k', value: 1 }])
  vi.advanceTimersByTime(2 * HOUR)
  for (const log of ['alerts', 'dead-letters'] as const) await streams.append(log, [{ key: 'k', value: 2 }])

  const onError = vi.fn()
  const stop = startRetention(streams, { events: { age: 24 * HOUR, size: 1e9 }, dead_letters: { age: HOUR } }, onError)
  vi.advanceTimersByTime(60_000)
  stop()
  expect(onError).not.toHaveBeenCalled()
  expect(await left('alerts')).toEqual([1, 2])
  expect(await left('dead-letters')).toEqual([2])
  await streams.close()
})
