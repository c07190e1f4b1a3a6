import type { AuditFact } from '../../audit/fact.ts'
import { CordonError } from '../../event/error.ts'
import { record } from '../../response/recording.ts'
import type { Config } from '../config.ts'
import { withLedger } from '../ledger.ts'

/**
 * Brings what was ordered by a command to the audit log of the configured node, which has it within a second, or when it runs next.
 *
 * @returns whether there is such a log: there is none before the first start of a node
 * @throws CordonError what keeps the ledger from being written to
 */
export async function recordOrder(config: Config, ...told: readonly AuditFact[]): Promise<boolean> {
  try {
    await withLedger(config, (ledger) =>
      record({ ledger, now: Date.now, observe: () => {} }, async ({ facts }) => void facts.push(...told)),
    )
    return true
  } catch (error) {
    if (error instanceof CordonError && error.code === 'LEDGER_MISSING') return false
    throw error
  }
}
