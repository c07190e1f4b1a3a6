import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { prepareStreams } from '../engine/streams.ts'
import { type CommandFactory, EXIT, formatError } from './io.ts'
import { configOption } from './node-options.ts'

export const topicsCommand: CommandFactory = (io, done) =>
  new Command('topics')
    .description('Create the Kafka topics that are missing, and check those that are there: partitions, retention, stamps, durability.')
    .addOption(configOption())
    .option('--check', 'create nothing')
    .action(async ({ config, check = false }: { config: string; check?: boolean }) => {
      const { created, problems } = await prepareStreams(loadConfig(config), { create: !check })
      for (const topic of created) io.out(`created ${topic}`)
      for (const problem of problems) io.out(...formatError(problem))
      if (problems.length === 0) io.err('the topics are as they should be')
      done(problems.length === 0 ? EXIT.clean : EXIT.findings)
    })
