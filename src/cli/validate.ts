import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import type { Diagnosis } from '../engine/doctor/diagnosis.ts'
import { decisionChecks } from '../engine/doctor/site-checks.ts'
import { checkResponderFiles } from '../engine/responder-files.ts'
import { loadRules } from '../engine/rules/rules.ts'
import { formatPlace } from '../event/error.ts'
import { formatDiagnostic } from '../sigma/problems.ts'
import { type CommandFactory, EXIT } from './io.ts'

const USUAL_CONFIG = 'cordon.yml'

export const validateCommand: CommandFactory = (io, done) =>
  new Command('validate')
    .description(
      'Check rules, filters, lists and responder files: every problem with its file, line, column, code and what to do about it.',
    )
    .argument('<path...>', 'files or folders')
    .option('-c, --config <file>', 'also its policy, policy as code and signatures (default: cordon.yml, where there is one)')
    .action(async (paths: string[], { config }: { config?: string }) => {
      const { responders, problems, others } = checkResponderFiles(paths)
      const rules = loadRules(others, Date.now())
      for (const diagnostic of rules.diagnostics) io.out(...formatDiagnostic(diagnostic))
      for (const { where, code, message, hint } of problems) {
        io.out(...finding(where === undefined ? '' : `${formatPlace(where)} `, 'error', code, message, hint))
      }
      const decisions = await decisionsOf(config)
      for (const { check, level, detail, remedy } of decisions) {
        const [place, text] = /^(\S+:\d+:\d+ )?(.*)$/s.exec(detail)!.slice(1)
        io.out(...finding(place ?? '', level === 'problem' ? 'error' : level, check, text!, remedy))
      }
      const wrong = rules.diagnostics.filter(({ severity }) => severity === 'error').length
      const refused = decisions.filter(({ level }) => level === 'problem').length
      const errors = wrong + problems.length + refused
      const warnings = rules.diagnostics.length - wrong + decisions.length - refused
      const found = responders === 0 ? '' : `${responders} responders, `
      io.err(
        `${found}${rules.detections.length} detection rules, ${rules.correlations.length} correlation rules: ${errors} errors, ${warnings} warnings`,
      )
      done(errors > 0 ? EXIT.rules : EXIT.clean)
    })

/** In the form of a rule's diagnostics. @param place with a blank behind it, or empty */
function finding(place: string, severity: string, what: string, text: string, hint: string | undefined): string[] {
  const head = `${place}${severity} ${what}: ${text}`
  return hint === undefined ? [head] : [head, `  hint: ${hint}`]
}

/** What is amiss with what decides about actions in a configuration. @throws CordonError as `loadConfig` */
async function decisionsOf(config: string | undefined): Promise<readonly Diagnosis[]> {
  const file = config ?? (existsSync(USUAL_CONFIG) ? USUAL_CONFIG : undefined)
  const found = file === undefined ? [] : await decisionChecks(loadConfig(file))
  return found.filter(({ level }) => level !== 'ok')
}
