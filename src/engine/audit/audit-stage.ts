import { join } from 'node:path'
import { CHECKPOINT } from '../../audit/checkpoint.ts'
import type { AuditFact } from '../../audit/fact.ts'
import { openAuditLog } from '../../audit/log.ts'
import { formatVerifier } from '../../audit/note.ts'
import { identity } from '../../event/id.ts'
import type { Config } from '../config.ts'
import type { DataPaths } from '../data-folder.ts'
import type { Check } from '../health.ts'
import type { Parts } from '../parts.ts'
import { Trail } from './trail.ts'

/** What the log of a node is called in its checkpoints: a name without blanks and `+`, as signed notes want it. */
export function originOf({ node }: Pick<Config, 'node'>): string {
  return `cordon/${node.replaceAll(/[^\w.-]/g, '-')}`
}

/** Where and how a node's audit log is opened. */
export function auditLogOptions(config: Config, paths: DataPaths) {
  const origin = originOf(config)
  const { witness } = config.audit
  return { folder: paths.audit, origin, witness: witness && join(witness, origin.replace('/', '-')), now: Date.now }
}

/** Opens the node's audit log, which from here on takes what is told to it. Where it cannot be opened the node runs, and starts no action. */
export function startAudit(parts: Pick<Parts, 'config' | 'paths' | 'observer' | 'metrics' | 'probe' | 'onClose'>): Trail {
  const { config, paths, observer, metrics, probe, onClose } = parts
  const trail = new Trail({
    open: () => openAuditLog(auditLogOptions(config, paths)),
    onOpen: (log) => {
      const key = formatVerifier(log.signer)
      if (!log.isNew) return []
      observer.onNote('audit', `the audit log of this node begins; keep the public half of its key elsewhere: ${key}`)
      return [fact('log.begun', { key: log.signer.id.toString('hex') }, { by: config.node, why: 'first start of the audit log' })]
    },
    onCheckpoint: (note) => observer.onNote(CHECKPOINT, note),
    onProblem: (problem) => observer.onError('audit', problem),
    probe,
  })
  metrics.observe('cordon_audit_entries', 'Entries of the audit log of this node', async () =>
    trail.size === undefined ? [] : [{ value: trail.size }],
  )
  onClose(() => trail.stop())
  trail.start()
  return trail
}

/** What can keep a node from acting, or its evidence from being kept elsewhere. */
export function auditCheck(trail: Trail): Check {
  return {
    name: 'audit',
    look: async () => {
      const problem = trail.problem() ?? trail.replaced() ?? trail.witnessProblem()
      return problem && { detail: problem.message, remedy: problem.hint ?? 'see the log' }
    },
  }
}

/** A fact that the node tells itself: of this moment, and no other like it. */
export function fact(what: string, open: AuditFact['open'], sealed: AuditFact['sealed'], at: number = Date.now()): AuditFact {
  return { id: identity(what, at, ...Object.values(open), ...Object.values(sealed)), at, what, open, sealed }
}
