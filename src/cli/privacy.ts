import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { erasePerson } from '../engine/store/erasure.ts'
import type { CommandFactory } from './io.ts'
import { configOption, keyOption, type OrderOptions, ordering } from './node-options.ts'

export const privacyCommand: CommandFactory = (io) => {
  const command = new Command('privacy').description('What is kept of people.')
  command
    .command('erase')
    .description(
      'Replace whatever names a person, in the ledger of a stopped node, by a pseudonym. Logs expire: it says what they still hold.',
    )
    .requiredOption('--user <name>', 'id or e-mail address of the person; the inventory knows the others')
    .option('--dry-run', 'count only')
    .addOption(configOption())
    .addOption(keyOption())
    .action(async ({ user, dryRun = false, ...options }: OrderOptions & { user: string; dryRun?: boolean }) => {
      const config = loadConfig(options.config)
      const { name } = ordering(config, options, 'privacy:erase')
      const { pseudonym, changed, inForce, left } = await erasePerson(config, user, name, { dryRun })
      for (const [where, count] of changed) io.out(`${where}: ${count} ${dryRun ? 'rows would be changed' : 'rows changed'}`)
      if (changed.size === 0) io.out('nothing names this person in what is kept for good')
      if (inForce > 0) io.out(`effects: ${inForce} in force name this person; undo them first (cordon actions undo)`)
      for (const [log, count] of left)
        io.out(`log of ${log}: ${count} entries name this person until they are too old (retention.events.age)`)
      if (!dryRun && changed.size > 0) io.out(`they are ${pseudonym} now`)
    })
  return command
}
