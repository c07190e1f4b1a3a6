// What redaction costs beside the rest of the way in, on one core and without HTTP. See bench/README.md.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compileAgents } from '../src/context/agents.ts'
import { Inventory } from '../src/context/inventory.ts'
import { Labels } from '../src/context/labels.ts'
import { Posture } from '../src/context/posture.ts'
import { ProcessTree } from '../src/context/process-tree.ts'
import { DeadLetters } from '../src/engine/ingest/dead-letters.ts'
import { Ingest } from '../src/engine/ingest/ingest.ts'
import { IngestStore } from '../src/engine/ingest/ingest-store.ts'
import type { Draft } from '../src/event/event.ts'
import { parseForeignObject } from '../src/event/json.ts'
import { Privacy } from '../src/privacy/privacy.ts'
import { openEmbeddedStreams } from '../src/streams/embedded.ts'
import { report, round } from './bench-site.ts'
import { fleetOf, ordinary } from './workload.ts'

const DEVICES = fleetOf(200)
const BATCH = 500
const ROUNDS = 5
const AS_IT_CAME = { redact: (draft: Draft) => draft, scrub: (text: string) => text, scrubContent: (text: string) => text }

async function main([amount = '20000', file]: readonly string[]): Promise<void> {
  const total = Number(amount)
  const lines = file === undefined ? undefined : readFileSync(file, 'utf8').split('\n').filter(Boolean)
  const textOf = (n: number) => lines?.[n % lines.length] ?? ordinary(n, DEVICES)
  const without: number[] = []
  const with_: number[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const [bare, redacted] = [await secondsOf(AS_IT_CAME, total, textOf), await secondsOf(Privacy.DEFAULT, total, textOf)]
    if (round === 0) continue // compiles; it is not counted
    without.push(bare)
    with_.push(redacted)
  }
  const [bare, redacted] = [median(without), median(with_)]
  report({
    what: 'privacy',
    events: total,
    us_per_event_without: round((bare / total) * 1e6),
    us_per_event_with: round((redacted / total) * 1e6),
    share_of_ingest: round((redacted - bare) / redacted),
  })
}

/** CPU seconds from the JSON text of so many events to their log. */
async function secondsOf(
  privacy: Pick<Privacy, 'redact' | 'scrub' | 'scrubContent'>,
  total: number,
  textOf: (n: number) => string,
): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
  const streams = openEmbeddedStreams({ folder, partitions: 1 })
  const store = new IngestStore(join(folder, 'ingest.db'))
  const ingest = new Ingest({
    streams,
    deadLetters: new DeadLetters(streams, join(folder, 'key'), privacy),
    privacy,
    tree: new ProcessTree(compileAgents([])),
    posture: new Posture(),
    postureFrom: (sender) => sender !== 'stranger',
    store,
    inventory: () => Inventory.EMPTY,
    labels: () => Labels.EMPTY,
    bundle: () => 'bench',
    probe: () => {},
    report: () => {},
  })
  const bodies = Array.from({ length: total / BATCH }, (_, body) => Array.from({ length: BATCH }, (_, n) => textOf(body * BATCH + n)))
  const start = process.cpuUsage()
  for (const [at, body] of bodies.entries()) {
    const records = body.map((text, offset) => ({ value: parseForeignObject(text), line: offset + 1, offset }))
    await ingest.intake().accept({ sender: 'bench', source: undefined, transport: 'http-json', bodyHash: String(at), records })
  }
  const { user, system } = process.cpuUsage(start)
  store.close()
  await streams.close()
  rmSync(folder, { recursive: true })
  return (user + system) / 1e6
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

await main(process.argv.slice(2))
