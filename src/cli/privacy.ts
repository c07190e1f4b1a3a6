import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { erasePerson } from '../engine/store/erasure.ts'
import type { Remains } from '../engine/store/remains.ts'
import { formatTime } from '../event/time.ts'
import { type CommandFactory, EXIT } from './io.ts'
import { configOption, keyOption, type OrderOptions, ordering } from './node-options.ts'

export const privacyCommand: CommandFactory = (io, done) => {
  const command = new Command('privacy').description('What is kept of people.')
  command
    .command('erase')
    .description(
      'Replace whatever names a person, in the store and in what this stopped node keeps, by a pseudonym. Logs expire: it says what they still hold, until when.',
    )
    .requiredOption('--user <name>', 'id or e-mail address of the person; the inventory knows the others')
    .option('--dry-run', 'count only')
    .addOption(configOption())
    .addOption(keyOption())
    .action(async ({ user, dryRun = false, ...options }: OrderOptions & { user: string; dryRun?: boolean }) => {
      const config = loadConfig(options.config)
      const { name } = ordering(config, options, 'privacy:erase')
      const { pseudonym, changed, inForce, unmerged, left } = await erasePerson(config, user, name, { dryRun })
      for (const [where, count] of changed) io.out(`${where}: ${count} ${dryRun ? 'would be changed' : 'changed'}`)
      if (changed.size === 0) io.out('nothing names this person in what is kept for good')
      if (inForce > 0) io.out(`effects: ${inForce} in force name this person; undo them first (cordon actions undo)`)
      for (const index of unmerged) io.out(`${index}: its files have what was replaced until they are merged (POST /${index}/_forcemerge)`)
      for (const [log, remains] of left) io.out(`log of ${log}: ${remains.entries} entries name this person ${untilWhen(log, remains)}`)
      if (!dryRun && changed.size > 0) io.out(`they are ${pseudonym} now`)
      if (inForce > 0 || unmerged.length > 0) done(EXIT.findings)
    })
  return command
}

function untilWhen(log: string, { until }: Remains): string {
  if (until !== undefined) return `until they are too old, ${formatTime(until)} at the latest`
  if (log === 'bundles') return 'in rules or lists, until these are changed'
  return 'until no window of a rule has them any more, and three newer checkpoints were written'
}
