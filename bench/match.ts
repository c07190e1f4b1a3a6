/**
 * How fast the matcher is: node bench/match.ts --rules DIR [--rules DIR …] --events FILE[.gz] [--matches OUT] [--passes N]
 * Events are NDJSON, flat as a Windows forwarder writes them. Parsing (with plain JSON.parse,
 * as other engines' benches do) is timed, loading rules is not. Prints one JSON line per
 * pass, the first of which is cold: it compiles the index of each kind of event at its first occurrence.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { compileMatcher } from '../src/detectors/match/matcher.ts'
import type { Event, LogSource } from '../src/event/event.ts'
import type { Json, JsonObject } from '../src/event/json.ts'
import { windowsLogSources } from '../src/normalise/windows/windows-logsource.ts'
import { loadRuleSet } from '../src/sigma/load.ts'

const { values } = parseArgs({
  options: {
    rules: { type: 'string', multiple: true, default: [] },
    events: { type: 'string', default: '' },
    matches: { type: 'string' },
    passes: { type: 'string', default: '1' },
  },
})

const loadStart = process.cpuUsage()
const ruleSet = loadRuleSet(values.rules.flatMap(ruleFiles).map((file) => ({ path: file, text: readFileSync(file, 'utf8') })))
const matcher = compileMatcher(ruleSet.detections)
const loadTime = cpuSecondsSince(loadStart)

const lines = linesOf(values.events)
for (let pass = 1; pass <= Number(values.passes); pass++) {
  const found: string[] | undefined = values.matches !== undefined && pass === 1 ? [] : undefined
  let matches = 0
  const start = process.cpuUsage()
  for (let line = 0; line < lines.length; line++) {
    const hits = matcher.match(eventOf(lines[line]!, line))
    matches += hits.length
    if (found !== undefined) for (const rule of hits) found.push(`${line} ${ruleSet.detections[rule]!.id}`)
  }
  const seconds = cpuSecondsSince(start)
  if (found !== undefined) writeFileSync(values.matches!, `${found.join('\n')}\n`)
  const report = {
    events: lines.length,
    cpu_secs: seconds,
    eps_cpu: Math.round(lines.length / seconds),
    matches,
    accepted: ruleSet.detections.length - matcher.refused.length,
    rejected: ruleSet.refused + matcher.refused.length,
    load_ms: Math.round(loadTime * 1000),
    rss_mb: Math.round(process.resourceUsage().maxRSS / 1024),
  }
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

function eventOf(line: string, number: number): Event {
  const native = JSON.parse(line) as JsonObject
  return { id: String(number), time: null, ingested: 0, logsource: logSourcesOf(native), ecs: {}, native }
}

/** A Windows event's by its channel and id, any other's by what the corpus wrote into `_product`, `_category` and `_service`. */
function logSourcesOf({ Channel: channel, EventID: id, _product, _category, _service }: JsonObject): readonly LogSource[] {
  if (typeof channel === 'string') return windowsLogSources(channel, String(id))
  return [{ ...tag('product', _product), ...tag('category', _category), ...tag('service', _service) }]
}

function tag<Key extends keyof LogSource>(key: Key, value: Json | undefined): { [K in Key]?: string } {
  return (typeof value === 'string' ? { [key]: value } : {}) as { [K in Key]?: string }
}

function ruleFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yml') || name.endsWith('.yaml'))
    .sort()
    .map((name) => join(path, name))
}

function linesOf(path: string): string[] {
  const bytes = readFileSync(path)
  const text = path.endsWith('.gz') ? gunzipSync(bytes).toString('utf8') : bytes.toString('utf8')
  return text.split('\n').filter((line) => line !== '')
}

function cpuSecondsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1e6
}
