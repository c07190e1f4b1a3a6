import { Command } from 'commander'
import { loadRules } from '../engine/rules/rules.ts'
import { formatDiagnostic } from '../sigma/problems.ts'
import { type CommandFactory, EXIT } from './io.ts'

export const validateCommand: CommandFactory = (io, done) =>
  new Command('validate')
    .description('Check rules, filters and lists: every problem with its file, line, column, code and what to do about it.')
    .argument('<path...>', 'files or folders')
    .action((paths: string[]) => {
      const rules = loadRules(paths, Date.now())
      for (const diagnostic of rules.diagnostics) io.out(formatDiagnostic(diagnostic))
      const errors = rules.diagnostics.filter(({ severity }) => severity === 'error').length
      const warnings = rules.diagnostics.length - errors
      io.err(
        `${rules.detections.length} detection rules, ${rules.correlations.length} correlation rules: ${errors} errors, ${warnings} warnings`,
      )
      done(errors > 0 ? EXIT.rules : EXIT.clean)
    })
