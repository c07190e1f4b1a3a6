import { z } from 'zod'
import { NO_APPROVALS } from '../../../src/response/approval.ts'
import type { Policy } from '../../../src/response/policy.ts'
import type { Configured } from '../../../src/response/vendor.ts'
import type { RuleSet } from '../../../src/sigma/ast.ts'

/** What every rule of the simulator asks for. Nothing is sent: the ledger says what would be. */
export const RESPONDER: Configured = {
  name: 'quarantine',
  responder: {
    name: 'quarantine',
    title: 'Quarantine, simulated',
    verb: 'quarantine_device',
    effect: 'contain',
    reversible: true,
    target: 'device',
    needs: [],
    permissions: [],
    config: z.unknown(),
    example: '',
    repeatable: true,
    timeout: 1_000,
    confirmWithin: 1_000,
    connect: () => {
      throw new Error('the simulator sends nothing')
    },
  },
}

/** Grants every rule what it asks for, as it is in one of the bundles: in the others, what it asks for waits for approval. */
export function policyFor(bundles: readonly RuleSet[]): Policy {
  const rules = new Map(bundles.flatMap(({ detections, correlations }) => [...detections, ...correlations]).map((rule) => [rule.id, rule]))
  return {
    grants: [...rules.values()].map(({ id, parts, where }) => ({
      rule: id,
      verbs: ['quarantine_device'],
      mode: 'enforce',
      pinned: parts,
      where,
    })),
    limits: [],
    expiries: [],
    protected: { devices: [], groups: [], owners: [] },
    approvals: NO_APPROVALS,
  }
}
