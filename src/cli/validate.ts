import { Command } from 'commander'
import { checkResponderFiles } from '../engine/responder-files.ts'
import { loadRules } from '../engine/rules/rules.ts'
import { formatDiagnostic } from '../sigma/problems.ts'
import { type CommandFactory, EXIT } from './io.ts'

export const validateCommand: CommandFactory = (io, done) =>
  new Command('validate')
    .description(
      'Check rules, filters, lists and responder files: every problem with its file, line, column, code and what to do about it.',
    )
    .argument('<path...>', 'files or folders')
    .action((paths: string[]) => {
      const { responders, problems, others } = checkResponderFiles(paths)
      const rules = loadRules(others, Date.now())
      for (const diagnostic of rules.diagnostics) io.out(formatDiagnostic(diagnostic))
      for (const { where, code, message, hint } of problems) {
        io.out(
          `${where === undefined ? '' : `${where.file}:${where.line}:${where.column} `}error ${code}: ${message}${hint === undefined ? '' : `\n  hint: ${hint}`}`,
        )
      }
      const errors = rules.diagnostics.filter(({ severity }) => severity === 'error').length + problems.length
      const warnings = rules.diagnostics.length - (errors - problems.length)
      const found = responders === 0 ? '' : `${responders} responders, `
      io.err(
        `${found}${rules.detections.length} detection rules, ${rules.correlations.length} correlation rules: ${errors} errors, ${warnings} warnings`,
      )
      done(errors > 0 ? EXIT.rules : EXIT.clean)
    })
