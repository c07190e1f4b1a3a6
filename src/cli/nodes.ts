import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { ingestNodes, retireNode } from '../engine/ingest/ingest-nodes.ts'
import { formatTime } from '../event/time.ts'
import type { CommandFactory } from './io.ts'
import { configOption, formatOption, type NodeOptions, wantsJson } from './node-options.ts'
import { table } from './table.ts'

export const nodesCommand: CommandFactory = (io) => {
  const command = new Command('nodes').description('The nodes that take events in.')
  command
    .command('list')
    .description(
      'Ingest nodes that were heard of and have not said goodbye. While one is paused or silent, rules that ask for absence do not act.',
    )
    .addOption(configOption())
    .addOption(formatOption())
    .action(async (options: NodeOptions) => {
      const nodes = (await ingestNodes(loadConfig(options.config))).map((each) => ({ ...each, heard: formatTime(each.heard) }))
      if (wantsJson(io, options)) for (const each of nodes) io.out(JSON.stringify(each))
      else {
        const rows = nodes.map(({ node, state, heard }) => [node, io.style(state === 'alive' ? 'green' : 'red', state), heard])
        io.out(...table(['NODE', 'STATE', 'HEARD'], rows, 'no ingest node was heard of yet'))
      }
    })
  command
    .command('retire')
    .description('Say goodbye for a node that is gone for good, so that nothing waits for it any more.')
    .argument('<node>', 'its name')
    .addOption(configOption())
    .action(async (node: string, { config }: { config: string }) => {
      await retireNode(loadConfig(config), node)
      io.out(`${node} is not waited for any more; if it runs, it is heard again with its next tick`)
    })
  return command
}
