import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { reviewGrant } from '../engine/rules/grants.ts'
import { type CommandFactory, EXIT } from './io.ts'
import { configOption, keyOption, type OrderOptions, ordering } from './node-options.ts'

export const policyCommand: CommandFactory = (io, done) => {
  const command = new Command('policy').description('Who may do what: rules request, policy grants.')
  command
    .command('grant')
    .description('Show what changed in a rule since its grant was given, and pin the rule as it is now.')
    .argument('<rule>', 'id, name or title of the rule')
    .option('--dry-run', 'show only; exit 1 if something changed')
    .addOption(configOption())
    .addOption(keyOption())
    .action((name: string, options: OrderOptions & { dryRun?: boolean }) => {
      const config = loadConfig(options.config)
      const review = reviewGrant(config, name)
      for (const { grant, changes } of review.grants) {
        io.out(`${review.title}: ${grant.verbs.join(', ')} (${grant.mode})`)
        for (const { text, harmless } of changes) io.out(`  ${text}${harmless ? ' (it fires on less, so the grant holds)' : ''}`)
        if (changes.length === 0) io.out('  nothing changed since it was pinned')
      }
      if (options.dryRun) done(review.grants.some(({ changes }) => changes.length > 0) ? EXIT.findings : EXIT.clean)
      else {
        review.renew(ordering(config, options, 'policy:grant').name, Date.now())
        io.out(`pinned in ${review.file}; a running node reads it within a second`)
      }
    })
  return command
}
