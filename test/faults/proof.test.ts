import { describe, expect, it } from 'vitest'
import { arrivalsOnEmbeddedLogs } from '../proof/arrival.ts'
import { killsOnEmbeddedLogs } from '../proof/kills.ts'
import type { Report } from '../proof/report.ts'

const quiet = () => {}
const MINUTE = 60_000

/** The proofs of docs/reference/proofs.md on the embedded logs, at a scale of minutes. */
describe('the same alerts whatever happens, on embedded logs', () => {
  const holds = ({ figures, differences }: Report) => {
    expect(differences.slice(0, 3)).toEqual([])
    expect(figures.alerts).toBeGreaterThanOrEqual(200)
  }

  it('killed at random moments and at every named point', { timeout: 4 * MINUTE }, async () => {
    const report = await killsOnEmbeddedLogs({ seed: 1, events: 100_000, partitions: 3, kills: 12 }, quiet)
    holds(report)
    expect(report.figures['least alerts under way at a disturbance']).toBeGreaterThan(0)
  })

  it('in any order of arrival within grace, some twice, over 1 to 8 partitions', { timeout: 4 * MINUTE }, async () => {
    holds(await arrivalsOnEmbeddedLogs({ seed: 1, events: 18_000, orders: 16, from: 1 }, quiet))
  })
})
