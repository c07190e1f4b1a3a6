import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MUTANTS } from './mutants.ts'
import { hunt, SOUND } from './mutation.ts'

/** What one may cost is seconds; what is not found in so many is not found. */
const MUTANT_SEEDS = 600
const MINUTES = 60_000

/** The simulator takes over the clock and the timers of its process, so it has one of its own. */
function simulate(...args: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { encoding: 'utf8' })
  return { status, output: stdout + stderr }
}

test('a seed is one run, whenever it is replayed', () => {
  for (const seed of ['3', '8']) {
    const { status, output } = simulate('--seed', seed)
    expect(output).toMatch(/trace \w+-\w+\n$/)
    expect({ status, output }).toEqual({ status: 0, output: simulate('--seed', seed).output })
  }
  expect(simulate('--seed', '3').output).not.toBe(simulate('--seed', '8').output)
})

test('200 seeds give the alerts of the definition', { timeout: 5 * MINUTES }, () => {
  const { status, output } = simulate('--seeds', '200', '--jobs', '2')
  expect(output).toMatch(/^200 seeds/m)
  expect(status, output).toBe(0)
})

describe.concurrent('a planted bug is found', () => {
  test.each(MUTANTS)('$name', { timeout: 5 * MINUTES }, async (mutant) => {
    const { seed, said, without } = await hunt(mutant, MUTANT_SEEDS)
    expect(seed, said).toBeDefined()
    expect(without).toMatch(SOUND)
    // A mutant that only breaks the code proves nothing.
    expect(said).not.toMatch(/(Reference|Syntax|Type)Error/)
  })
})
