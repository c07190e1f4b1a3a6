import { expect, test } from 'vitest'
import { actionsUnderFaults } from '../proof/actions.ts'
import { expiriesAcrossRestarts } from '../proof/expiries.ts'
import { limitsHold } from '../proof/limits.ts'

const quiet = () => {}
const MINUTE = 60_000

/* The proofs of docs/reference/proofs.md on containment, small. */

test('each action once, whatever the vendor answers and whenever the engine dies', { timeout: 10 * MINUTE }, async () => {
  const { figures, differences } = await actionsUnderFaults({ seed: 1, actions: 100, kills: 4 }, quiet)
  expect(differences).toEqual([])
  expect(figures.kills).toBe(5)
  expect(figures.released).toBeGreaterThan(5)
})

test('a rule that matches everything stops at the limit, and the kill switch stops every node', { timeout: 10 * MINUTE }, async () => {
  expect((await limitsHold({ devices: 200, paced: false }, quiet)).differences).toEqual([])
})

test('what expires is undone once and in time, across restarts', { timeout: 10 * MINUTE }, async () => {
  expect((await expiriesAcrossRestarts({ seed: 1, expiries: 40, restarts: 3, after: 5_000 }, quiet)).differences).toEqual([])
})
