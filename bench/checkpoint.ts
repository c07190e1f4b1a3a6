import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { openCheckpointFile } from '../src/streams/checkpoint-file.ts'
import { EmbeddedStreams } from '../src/streams/embedded.ts'
import { readGeneration, writeGeneration } from '../src/streams/generations.ts'

// What a large correlation state costs: committing, opening with all its checksums, a generation of it into the embedded log and back.
// node bench/checkpoint.ts [rows]; milliseconds

const ROWS = Number(process.argv[2] ?? 100_000)
const BATCH = 200
const folder = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
const path = join(folder, '0.db')
const open = () => openCheckpointFile<object>(path, (error) => console.error(error.message))
const row = (at: number, text = 'x') => ({
  unit: 'u'.repeat(32),
  group: `host-${at % 500}`,
  signal: { eventId: String(at).padStart(32, '0'), facts: text.repeat(300) },
})

const figures: Record<string, number> = { rows: ROWS }
/** Milliseconds. */
async function timed<T>(figure: string, work: () => T | Promise<T>): Promise<T> {
  const started = performance.now()
  const result = await work()
  figures[figure] = Math.round(performance.now() - started)
  return result
}

let checkpoint = open()
const commit = (from: number, count: number, text?: string) =>
  checkpoint.commit({
    put: new Map(Array.from({ length: count }, (_, at) => [`key ${from + at}`, row(from + at, text)])),
    remove: [],
    head: { progress: [] },
    next: from + count,
    outbox: [],
  })
await timed('committed', () => {
  for (let at = 0; at < ROWS; at += BATCH) commit(at, BATCH)
})
checkpoint.close()
checkpoint = await timed('opened', open)
figures.bytes = checkpoint.size.bytes
await timed('10,000 rows replaced', () => {
  for (let at = 0; at < 10_000; at += BATCH) commit(at, BATCH, 'y')
})

const streams = new EmbeddedStreams({ folder, partitions: 1 })
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
let committing = true
let commits = 0
const beside = (async () => {
  // The batch path goes on beside it.
  for (; committing; commits++) {
    commit(0, 10)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
})()
await timed('generation written', () => checkpoint.image((image) => writeGeneration(streams, 0, image)))
committing = false
await beside
delay.disable()
figures['longest standstill while it was written'] = Math.round(delay.max / 1e6)
figures['commits beside it'] = commits
const image = await timed('generation read', () => readGeneration(streams, 0, -1))
await timed('state replaced', () => checkpoint.replace(image!))
checkpoint.close()
await streams.close()
rmSync(folder, { recursive: true })
console.log(JSON.stringify(figures))
