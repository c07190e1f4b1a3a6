import { parseArgs } from 'node:util'
import { killsOnEmbeddedLogs } from './kills.ts'
import type { Report, Say } from './report.ts'

/** What can be proven, at the scale of every change and at the full one: name → run. */
const ITEMS: Readonly<Record<string, (full: boolean, seed: number, say: Say) => Promise<Report>>> = {
  kills: (full, seed, say) => killsOnEmbeddedLogs({ seed, events: full ? 1_000_000 : 120_000, partitions: 3, kills: full ? 100 : 12 }, say),
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { full: { type: 'boolean', default: false }, seed: { type: 'string', default: '1' } },
})
const run = ITEMS[positionals[0] ?? '']
if (run === undefined) {
  process.stderr.write(`npm run proof -- <item> [--full] [--seed N], of: ${Object.keys(ITEMS).join(', ')}\n`)
  process.exit(2)
}
const started = Date.now()
const report = await run(values.full, Number(values.seed), (text) =>
  process.stderr.write(`${Math.round((Date.now() - started) / 1_000)} s: ${text}\n`),
)
process.stdout.write(`${JSON.stringify({ ...report, seconds: Math.round((Date.now() - started) / 1_000) }, null, 2)}\n`)
process.exitCode = report.differences.length === 0 ? 0 : 1
