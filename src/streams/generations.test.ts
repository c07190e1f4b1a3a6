import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CheckpointImage } from './checkpoint.ts'
import { EmbeddedStreams } from './embedded.ts'
import { readGeneration, type Writing, writeGeneration } from './generations.ts'

let folder: string
let streams: EmbeddedStreams
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-generations-'))
  streams = new EmbeddedStreams({ folder, partitions: 2 })
})
afterEach(async () => {
  await streams.close()
  rmSync(folder, { recursive: true })
})

/** A state of some rows of 10 KB, so that 30 of them take more than one chunk. */
const state = (next: number, rows = 70): CheckpointImage => ({
  next,
  head: JSON.stringify({ at: next }),
  rows: Array.from({ length: rows }, (_, at) => [`row ${at}`, JSON.stringify(`${next} é "${'x'.repeat(10_000)}`)] as const),
})
const write = (next: number, rows?: number, writing: Writing = {}) => writeGeneration(streams, 0, state(next, rows), writing)
const read = (next = -1) => readGeneration(streams, 0, next)
const log = () => streams.read<{ kind: string; slot?: number; at?: number }>('checkpoints', 0, 0, 1_000)

test('the newest generation comes back, if it stands further on; each partition has its own', async () => {
  expect(await read()).toBeUndefined()
  for (const next of [10, 20, 30, 40, 50]) {
    expect(await write(next, next)).toBe(true)
    expect(await read()).toEqual(state(next, next))
  }
  expect(await read(49)).toEqual(state(50, 50))
  expect(await read(50)).toBeUndefined()
  expect(await readGeneration(streams, 1, -1)).toBeUndefined()
  await writeGeneration(streams, 1, state(7, 0))
  expect(await readGeneration(streams, 1, -1)).toEqual(state(7, 0))
})

test('there are three, and what a larger one left behind goes', async () => {
  for (const [at, rows] of [200, 10, 10, 10, 10, 10, 10].entries()) await write(at, rows)
  expect((await log()).map(({ value: { kind } }) => kind).sort()).toEqual(['chunk', 'chunk', 'chunk', 'head', 'head', 'head'])
})

test('one that is not finished counts for nothing, and harms none of the others', async () => {
  for (const next of [1, 2, 3]) await write(next)
  const torn = {
    beforeHead: () => {
      throw new Error('planned')
    },
  }
  for (let attempt = 0; attempt < 5; attempt++) await expect(write(4, 100, torn)).rejects.toThrow('planned')
  expect(await read()).toEqual(state(3))
  for (let chunks = 0; chunks < 4; chunks++) {
    let left = chunks
    expect(await write(4, 100, { goesOn: () => left-- > 0 })).toBe(false)
    expect(await read()).toEqual(state(3))
  }
  await write(5)
  expect(await read()).toEqual(state(5))
})

test('where the newest is damaged the one before it is taken, as long as there is one', async () => {
  for (const next of [1, 2, 3]) await write(next)
  const garble = async (n: number) => {
    const chunk = (await log()).find(({ value }) => value.kind === 'chunk' && value.slot === n % 3 && value.at === 1)!
    await streams.append('checkpoints', [{ key: `${n % 3}/1`, partition: 0, value: { ...chunk.value, rows: [] } }])
  }
  for (const n of [3, 2, 1]) {
    expect(await read()).toEqual(state(n))
    await garble(n)
  }
  expect(await read()).toBeUndefined()
  await streams.append('checkpoints', [
    { key: '0/head', partition: 0, value: 'nonsense' as unknown },
    { key: '1/head', partition: 0, value: { kind: 'head', next: 99 } },
    { key: '2/head', partition: 0, value: 7 },
  ])
  expect(await read()).toBeUndefined()
  await write(4)
  expect(await read()).toEqual(state(4))
})

test('a member that is behind writes none over that of the one that has the partition now', async () => {
  await write(20)
  expect(await write(10)).toBe(false)
  expect(await write(20)).toBe(false)
  expect(await read()).toEqual(state(20))
})
