import { Command, Option } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { egressOf } from '../engine/egress/egress.ts'
import { orderGrant, reviewGrant } from '../engine/rules/grants.ts'
import { formatPlace } from '../event/error.ts'
import { type CommandFactory, EXIT } from './io.ts'
import { configOption, keyOption, type OrderOptions, ordering, whyOption } from './node-options.ts'

export const policyCommand: CommandFactory = (io, done) => {
  const command = new Command('policy').description('Who may do what: rules request, policy grants.')
  command
    .command('grant')
    .description('Show what changed in a rule since its grant was given, and pin the rule as it is now.')
    .argument('<rule>', 'id, name or title of the rule')
    .option('--dry-run', 'show only; exit 1 if something changed')
    .addOption(whyOption())
    .addOption(configOption())
    .addOption(keyOption())
    .action(async (name: string, options: OrderOptions & { dryRun?: boolean; reason: string }) => {
      const config = loadConfig(options.config)
      const review = reviewGrant(config, name)
      for (const { grant, changes } of review.grants) {
        io.out(`${review.title}: ${grant.verbs.join(', ')} (${grant.mode})`)
        for (const { text, harmless } of changes) io.out(`  ${text}${harmless ? ' (it fires on less, so the grant holds)' : ''}`)
        if (changes.length === 0) io.out('  nothing changed since it was pinned')
      }
      if (options.dryRun) done(review.grants.some(({ changes }) => changes.length > 0) ? EXIT.findings : EXIT.clean)
      else {
        const { name: by } = ordering(config, options, 'policy:grant')
        await orderGrant(config, review, { by, why: options.reason }, Date.now())
        io.out(`pinned in ${review.file}; a running node reads it within a second`)
      }
    })
  command
    .command('egress')
    .description('Print where the filters of a rule let connections go, for a packet filter or a proxy to enforce.')
    .option('--rule <rule>', 'id, name or title of the rule', 'agent_egress')
    .addOption(new Option('--format <format>', 'what reads it').choices(['nftables', 'squid']).default('nftables'))
    .addOption(configOption())
    .action(({ config, rule, format }: { config: string; rule: string; format: 'nftables' | 'squid' }) => {
      const { text, unsaid, left } = egressOf(loadConfig(config), rule, format, Date.now())
      for (const { text, why, where } of left) io.err(`${formatPlace(where)} left out: ${text}: ${why}`)
      for (const entry of unsaid) io.err(`left out: destination.domain: ${entry}: ${format} knows no names`)
      io.out(...text.split('\n'))
    })
  return command
}
