import { existsSync } from 'node:fs'
import { auditFiles } from '../../audit/files.ts'
import { verifyAudit } from '../audit/audit-reading.ts'
import { auditLogOptions } from '../audit/audit-stage.ts'
import type { Config } from '../config.ts'
import { dataPaths } from '../data-folder.ts'
import { attempt, type Diagnosis, ok, problem } from './diagnosis.ts'

const MOST_FINDINGS = 3

/** The node's audit log, held against its checkpoints and those of its witness, if it has one. All of it is read. */
export function auditChecks(config: Config): Promise<readonly Diagnosis[]> {
  const check = 'audit log'
  const { folder, witness } = auditLogOptions(config, dataPaths(config.data))
  return attempt(check, async () => {
    // Before the first start: the engine's own finding says that it does not run.
    if (!existsSync(auditFiles(folder).entries)) return []
    const checkpoints = witness !== undefined && existsSync(witness) ? witness : undefined
    const { entries, covered, findings } = await verifyAudit({ folder, checkpoints })
    if (findings.length === 0) return [ok(check, `${entries} entries, ${covered} of them covered by checkpoints, as they were`)]
    const remedy = 'somebody or something has changed it: keep the folder as it is, and look with "cordon audit verify"'
    const more = findings.length > MOST_FINDINGS ? [problem(check, `${findings.length - MOST_FINDINGS} more findings`, remedy)] : []
    const found = findings
      .slice(0, MOST_FINDINGS)
      .map(({ index, text }) => problem(check, index === undefined ? text : `entry ${index} ${text}`, remedy))
    return [...found, ...more]
  })
}
