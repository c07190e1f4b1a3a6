/**
 * How much the shipped rules say on ordinary days of ten people: `node bench/benign-day.ts [days] [people]`. What it prints stands in
 * docs/reference/rules.md.
 */
import { compileDetector } from '../src/detectors/detector.ts'
import { alertingRules, shippedRules } from '../test/conformance/rules-page.ts'
import { ordinaryDay } from '../test/kits/benign-day/day.ts'
import { replayDay } from '../test/kits/benign-day/replay.ts'

const [days = 5, people = 10] = process.argv.slice(2).map(Number)
const rules = shippedRules()
const detector = compileDetector(rules)
const counts = new Map<string, number[]>()
const records = new Map<string, number>()
for (let seed = 1; seed <= days; seed++) {
  const result = await replayDay(ordinaryDay({ people, seed, start: Date.UTC(2026, 10, 16 + seed) }), detector)
  for (const [source, count] of result.records) records.set(source, (records.get(source) ?? 0) + count)
  if (result.bad.length > 0) throw new Error(`not read: ${result.bad.slice(0, 3).join('; ')}`)
  for (const { rule } of result.alerts) {
    const perDay = counts.get(rule.id) ?? Array.from({ length: days }, () => 0)
    perDay[seed - 1]!++
    counts.set(rule.id, perDay)
  }
}
console.log(
  `${days} days of ${people} people: ${[...records].map(([source, count]) => `${Math.round(count / days)} of ${source}`).join(', ')} a day\n`,
)
console.log('| Rule | Level | Alerts, day by day |\n|---|---|---|')
for (const rule of alertingRules(rules)) {
  const perDay = counts.get(rule.id)
  if (perDay !== undefined) console.log(`| ${rule.title} | ${rule.level} | ${perDay.join(', ')} |`)
}
