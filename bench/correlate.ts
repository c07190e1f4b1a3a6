/**
 * How fast matcher and correlation are together, on one stream: a read below /sensitive/, then a connect outside 10.0.0.0/24 by the
 * same device and process within 60 s. node bench/correlate.ts --events FILE [--passes N]
 * Events are NDJSON: {ts, type: file|flow|identity, device, pid, path?, dst?}. Parsing is timed. One JSON line per pass; an episode is one alert.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Correlator } from '../src/detectors/correlation/correlator.ts'
import { compileDetector } from '../src/detectors/detector.ts'
import type { Event } from '../src/event/event.ts'
import type { JsonObject } from '../src/event/json.ts'
import { loadRuleSet } from '../src/sigma/load.ts'

const RULES = `
title: read
id: 00000000-0000-4000-8000-000000000001
name: read
logsource: {category: file}
detection: {s: {path|startswith: /sensitive/}, condition: s}
---
title: egress
id: 00000000-0000-4000-8000-000000000002
name: egress
logsource: {category: flow}
detection: {s: {dst|cidr: 10.0.0.0/24}, any: {dst: '*'}, condition: any and not s}
---
title: read, then egress
id: 00000000-0000-4000-8000-000000000003
correlation: {type: temporal_ordered, rules: [read, egress], group-by: [device, pid], timespan: 60s}
x-cordon: {time: {grace: 1s}}
`

const { values } = parseArgs({ options: { events: { type: 'string', default: '' }, passes: { type: 'string', default: '3' } } })
const rules = loadRuleSet([{ path: 'bench.yml', text: RULES }])
if (rules.refused > 0) throw new Error(JSON.stringify(rules.diagnostics))
const lines = readFileSync(values.events, 'utf8').split('\n').filter(Boolean)

for (let pass = 0; pass < Number(values.passes); pass++) {
  const detector = compileDetector(rules, { factless: true })
  const correlator = new Correlator({ rulesOf: () => rules, partition: 0, eventPartitions: 1, signalPartitions: 1 })
  const alerts = new Set<string>()
  let signals = 0
  const start = process.cpuUsage()
  lines.forEach((line, offset) => {
    const native = JSON.parse(line) as JsonObject
    const time = native.ts as number
    const event: Event = { id: String(offset), time, ingested: time, logsource: [{ category: native.type as string }], ecs: {}, native }
    for (const signal of detector.detect(event, { partition: 0, offset })) {
      signals++
      for (const { id, state } of correlator.handle(signal, offset).revisions) state === 'open' ? alerts.add(id) : alerts.delete(id)
    }
    if (offset % 1_000 === 999) correlator.handle({ kind: 'progress', depth: 0, partition: 0, offset, ingested: time }, offset)
  })
  const { user, system } = process.cpuUsage(start)
  const cpu = (user + system) / 1e6
  const figures = {
    events: lines.length,
    cpu_secs: cpu,
    eps_cpu: Math.round(lines.length / cpu),
    signals,
    episodes: alerts.size,
    rss_mb: Math.round(process.resourceUsage().maxRSS / 1_024),
  }
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}
