import { Command } from 'commander'
import { runRuleTests } from '../engine/rules/rule-tests.ts'
import { loadRules } from '../engine/rules/rules.ts'
import { formatDiagnostic } from '../sigma/problems.ts'
import { type CommandFactory, EXIT } from './io.ts'

export const testCommand: CommandFactory = (io, done) =>
  new Command('test')
    .description('Run the tests that the rules carry (x-cordon.tests), with the filters and lists found beside them.')
    .argument('<path...>', 'files or folders')
    .action(async (paths: string[]) => {
      const rules = loadRules(paths)
      const errors = rules.diagnostics.filter(({ severity }) => severity === 'error')
      for (const error of errors) io.err(...formatDiagnostic(error))
      const results = await runRuleTests(rules)
      for (const { rule, test, problems } of results) {
        const mark = problems.length === 0 ? io.style('green', 'ok') : io.style('red', 'FAILED')
        io.out(`${mark} ${rule.title}: ${test.name}`)
        for (const problem of problems) io.out(`  ${test.where.file}:${test.where.line}:${test.where.column} ${problem}`)
      }
      const failed = results.filter(({ problems }) => problems.length > 0).length
      io.err(`${results.length - failed} passed, ${failed} failed${errors.length > 0 ? `, ${rules.refused} rules do not load` : ''}`)
      done(errors.length > 0 ? EXIT.rules : failed > 0 ? EXIT.findings : EXIT.clean)
    })
