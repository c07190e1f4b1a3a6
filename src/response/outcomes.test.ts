import { expect, test } from 'vitest'
import type { Effect } from './effect.ts'
import { accepted, attempted, notSent } from './outcomes.ts'

const terms = { now: 2_000, random: () => 0.5, responder: { confirmWithin: 60_000, repeatable: false, timeout: 1_000 } }
const claimed = {
  ...{ id: 'e', verb: 'notify', class: 'notify', reversible: false, responder: 'mail', epoch: 1, state: 'CLAIMED', reason: '' },
  ...{ version: 1, target: { kind: 'incident', id: 'i', facts: {} }, rule: { id: 'r', title: 'r', hash: 'h' }, holds: ['i'], revision: 1 },
  ...{ attempts: 0, dueAt: 0, times: { event: 0, proposed: 0 } },
} as const satisfies Effect
const again = (effect: Effect): Effect => attempted({ ...effect, state: 'CLAIMED' }, {}, terms)

test('an attempt after one whose answer was lost says so, and so do all after it', () => {
  const first = attempted(claimed, {}, terms)
  expect(first.attempt).toEqual({ at: 2_000 })
  const busy = notSent(first, { kind: 'retry', reason: 'busy' }, terms)
  expect(again(busy).attempt, 'what is known not to have happened is no repeat').toEqual({ at: 2_000 })

  const lost = notSent(first, { kind: 'unknown', reason: 'no answer' }, terms)
  const second = again(lost)
  expect(second.attempt).toEqual({ at: 2_000, unsure: true })
  expect(again(notSent(second, { kind: 'retry', reason: 'busy' }, terms)).attempt).toMatchObject({ unsure: true })
  expect(accepted(second, { status: 200 }, terms).attempt).toEqual({ at: 2_000, answer: { status: 200 } })
})
