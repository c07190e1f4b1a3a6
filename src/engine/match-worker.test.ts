import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Detector } from '../detectors/detector.ts'
import type { EventRecord } from '../event/event.ts'
import { loadRuleSet } from '../sigma/load.ts'
import { openEmbeddedStreams } from '../streams/embedded.ts'
import type { LogEntry } from '../streams/log.ts'
import { createMatchWorker } from './match-worker.ts'

const event = (offset: number, appended: number): LogEntry<EventRecord> => ({
  partition: 0,
  offset,
  appended,
  value: { kind: 'event', bundle: 'b', event: { id: `e${offset}`, time: 0, ingested: 0, logsource: [], ecs: {} } },
})

it('stamps events with the running maximum of the log, across batches and restarts', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ appended: fc.nat(1_000), ends: fc.boolean(), restarts: fc.boolean() }), { minLength: 1, maxLength: 30 }),
      async (steps) => {
        const folder = mkdtempSync(join(tmpdir(), 'cordon-match-'))
        const streams = openEmbeddedStreams({ folder, partitions: 1 })
        const seen: number[] = []
        const detector: Detector = {
          rules: loadRuleSet([]),
          bundle: 'b',
          units: new Map(),
          isSingle: () => false,
          detect: ({ ingested }) => {
            seen.push(ingested)
            return []
          },
        }
        const rules = { load: async () => {}, detectorOf: () => detector }
        try {
          let worker = createMatchWorker(streams, rules, () => {})
          let next = await worker.open(0)
          let batch: LogEntry<EventRecord>[] = []
          for (const [at, { appended, ends, restarts }] of steps.entries()) {
            batch.push(event(next++, appended))
            if (!ends && at < steps.length - 1) continue
            await worker.handle(0, batch)
            batch = []
            if (!restarts) continue
            worker = createMatchWorker(streams, rules, () => {})
            expect(await worker.open(0)).toBe(next)
          }
          expect(seen).toEqual(steps.map((_, at) => Math.max(...steps.slice(0, at + 1).map(({ appended }) => appended))))
        } finally {
          await streams.close()
          rmSync(folder, { recursive: true })
        }
      },
    ),
    { numRuns: 25 },
  )
})
