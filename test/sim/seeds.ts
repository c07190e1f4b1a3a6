import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { isEmbedded, simulate } from './simulate.ts'

/** Seeds from, from + step, … below from + count. */
export interface Range {
  readonly from: number
  readonly count: number
  readonly step: number
  /** Stop at the first seed that differs. */
  readonly first: boolean
  /** Only lives on embedded logs, which are few. */
  readonly embedded: boolean
}

const SHOWN = 5

/** Simulates seed after seed and tells how it went. @returns how many differed */
export async function runSeeds({ from, count, step, first, embedded }: Range): Promise<number> {
  const started = performance.now()
  let done = 0
  let failed = 0
  let alerts = 0
  let undefinedOnes = 0
  for (let seed = from; seed < from + count; seed += step) {
    if (embedded && !isEmbedded(seed)) continue
    const result = await simulate(seed)
    done++
    alerts += result.alerts
    if (result.isUndefined) undefinedOnes++
    if (done % 50 === 0) console.error(`${done} seeds, ${failed} failed, ${rate(done, started)} seeds/s`)
    if (result.differences.length === 0) continue
    failed++
    console.log(`seed ${seed} differs: npm run sim -- --seed ${seed} --trace`)
    for (const difference of result.differences.slice(0, SHOWN)) console.log(`  ${difference}`)
    if (result.differences.length > SHOWN) console.log(`  and ${result.differences.length - SHOWN} more`)
    if (first) break
  }
  console.log(`${done} seeds, ${failed} failed, ${undefinedOnes} undefined, ${alerts} alerts, ${rate(done, started)} seeds/s`)
  return failed
}

/** Shares the seeds out to processes of their own. @returns how many of these saw a difference */
export async function inSeveralProcesses({ from, count, embedded }: Range, jobs: number): Promise<number> {
  const started = performance.now()
  const codes = await Promise.all(
    Array.from({ length: jobs }, (_, at) => {
      const args = ['--from', String(from + at), '--seeds', String(count - at), '--step', String(jobs), ...(embedded ? ['--embedded'] : [])]
      const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
      createInterface(child.stdout).on('line', (line) => console.log(line))
      createInterface(child.stderr).on('line', (line) => console.error(`job ${at}: ${line}`))
      return new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? 1)))
    }),
  )
  console.log(`${count} seeds, ${rate(count, started)} seeds/s in ${jobs} processes`)
  return codes.filter((code) => code !== 0).length
}

function rate(seeds: number, started: number): string {
  return ((seeds * 1_000) / (performance.now() - started)).toFixed(1)
}
