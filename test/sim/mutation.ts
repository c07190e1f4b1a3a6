import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Mutant } from './mutants.ts'
import { SCRATCH } from './scratch.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const MAIN = 'test/sim/main.ts'
/** What the simulator needs of the project. */
const PARTS = ['package.json', 'src', 'test/sim', 'test/property']

/** A copy of the project with a bug in it. */
export interface Mutation {
  readonly folder: string
  remove(): void
}

/** @throws Error if the passage that the mutant replaces does not occur exactly once: then the mutant is stale */
export function mutated({ name, file, find, replace }: Mutant): Mutation {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const occurrences = text.split(find).length - 1
  if (occurrences !== 1) throw new Error(`the mutant "${name}" is stale: its passage occurs ${occurrences} times in ${file}`)
  const folder = mkdtempSync(join(SCRATCH, 'cordon-mutant-'))
  for (const part of PARTS) cpSync(join(ROOT, part), join(folder, part), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(
    join(folder, file),
    text.replace(find, () => replace),
  )
  return { folder, remove: () => rmSync(folder, { recursive: true }) }
}

/** What a simulator says of a life that is as it should be. */
export const SOUND = / 0 differences,/

export interface Found {
  readonly mutant: Mutant
  /** The first seed that shows the bug; undefined if none of them does. */
  readonly seed: number | undefined
  /** What the simulator said then. */
  readonly said: string
  /** What it says of that seed without the bug: a life that differs either way shows another bug than this one. */
  readonly without: string
}

/** Runs seed after seed on the bug until one shows it. */
export async function hunt(mutant: Mutant, seeds: number): Promise<Found> {
  const { folder, remove } = mutated(mutant)
  try {
    const { from = 1, embedded = false } = mutant
    // One life in four is on embedded logs: that many more seeds are as long a hunt.
    const range = ['--from', String(from), '--seeds', String(embedded ? 4 * seeds : seeds), ...(embedded ? ['--embedded'] : [])]
    const said = await output(join(folder, MAIN), [...range, '--first'])
    const seed = /^seed (\d+)/m.exec(said)?.[1]
    if (seed === undefined) return { mutant, seed, said, without: '' }
    return { mutant, seed: Number(seed), said, without: await output(join(ROOT, MAIN), ['--seed', seed]) }
  } finally {
    remove()
  }
}

function output(script: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    child.stdout.on('data', (chunk) => (text += chunk))
    child.stderr.on('data', (chunk) => (text += chunk))
    child.on('error', reject)
    child.on('close', () => resolve(text))
  })
}
