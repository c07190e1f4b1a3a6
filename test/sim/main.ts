import { parseArgs } from 'node:util'
import { simulate } from './simulate.ts'

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '200' }, from: { type: 'string', default: '1' }, seed: { type: 'string' }, trace: { type: 'boolean' } },
})
const from = Number(values.seed ?? values.from)
const count = values.seed === undefined ? Number(values.seeds) : 1
const started = performance.now()
let failed = 0
let alerts = 0
for (let seed = from; seed < from + count; seed++) {
  const result = await simulate(seed, values.trace ? (line) => console.log(line) : undefined)
  alerts += result.alerts
  if (result.differences.length > 0) {
    failed++
    console.log(`seed ${seed}: ${result.differences.length} differences of ${result.alerts} alerts, ${result.events} events`)
    for (const difference of result.differences.slice(0, 4)) console.log(`  ${difference}`)
  }
}
const seconds = (performance.now() - started) / 1000
console.log(`${count} seeds, ${failed} failed, ${alerts} alerts, ${(count / seconds).toFixed(1)} seeds/s`)
