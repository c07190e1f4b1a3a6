import { Command } from 'commander'
import type { CommandFactory } from './io.ts'
import {
  configOption,
  formatOption,
  keyOption,
  limitOption,
  type NodeOptions,
  type OrderOptions,
  onNode,
  onNodeAs,
  wantsJson,
} from './node-options.ts'
import { table } from './table.ts'

export const actionsCommand: CommandFactory = (io) => {
  const command = new Command('actions').description('What Cordon did, is doing, or holds back; undo; the kill switch.')
  command
    .command('list')
    .description('Actions, the newest first.')
    .addOption(configOption())
    .addOption(formatOption())
    .addOption(limitOption())
    .option('--state <state>', 'in this state only, such as held, confirmed or dead')
    .action((options: NodeOptions & { limit: number; state?: string }) =>
      onNode(options.config, async (node) => {
        const { limit, state } = options
        const actions = await node.actions({ limit, ...(state === undefined ? {} : { state }) })
        if (wantsJson(io, options)) for (const action of actions) io.out(JSON.stringify(action))
        else {
          const rows = actions.map(({ short, verb, target, state: now, responder, reason }) => [
            short,
            verb,
            `${target.kind} ${target.id}`,
            now,
            responder,
            reason,
          ])
          io.out(table(['ACTION', 'VERB', 'TARGET', 'STATE', 'RESPONDER', 'REASON'], rows, 'no actions yet'))
        }
        const stopped = await node.stopped()
        if (stopped !== undefined) io.err(`Actions are stopped by ${stopped.by}: ${stopped.reason}`)
      }),
    )
  command
    .command('show')
    .description('One action: its plan in the vendor\u2019s terms, its attempts, and the proof read back.')
    .argument('<id>', 'its id, or the beginning of it')
    .addOption(configOption())
    .addOption(formatOption())
    .action((prefix: string, options: NodeOptions) =>
      onNode(options.config, async (node) => {
        const action = await node.action(prefix)
        if (wantsJson(io, options)) {
          io.out(JSON.stringify(action))
          return
        }
        io.out(`${io.style('bold', `${action.verb} ${action.target.kind} ${action.target.id}`)}  ${action.state}: ${action.reason}`)
        io.out(`  action ${action.id}  by ${action.responder}, asked for by "${action.rule.title}"`)
        for (const call of action.plan?.calls ?? []) io.out(`  plan: ${call}`)
        for (const [name, time] of Object.entries(action.times)) io.out(`  ${name.padEnd(9)} ${time}`)
        if (action.secondsToConfirmed !== null)
          io.out(`  ${action.secondsToAccepted} s from event to accepted, ${action.secondsToConfirmed} s to confirmed`)
        if (action.proof !== undefined) io.out(`  proof: ${action.proof}`)
      }),
    )
  command
    .command('undo')
    .description('Undo an action that is in force, or call off one that was not sent yet. Runs even if the node is restarted meanwhile.')
    .argument('<id>', 'its id, or the beginning of it')
    .requiredOption('--reason <text>', 'why, for the record')
    .addOption(configOption())
    .addOption(keyOption())
    .action((prefix: string, options: OrderOptions & { reason: string }) =>
      onNodeAs(options, 'actions:operate', async (node, { name }) => {
        const { short, verb, target, state } = await node.undo(prefix, name, options.reason)
        const done =
          state === 'REJECTED' ? 'called off' : `undo asked for; a running node does it and reads it back (cordon actions show ${short})`
        io.out(`${verb} ${target.kind} ${target.id}: ${done}`)
      }),
    )
  command
    .command('stop')
    .description('The kill switch: nothing that acts on the world is sent from now on. Incidents still open, and people are still told.')
    .requiredOption('--reason <text>', 'why, for the record')
    .addOption(configOption())
    .addOption(keyOption())
    .action((options: OrderOptions & { reason: string }) =>
      onNodeAs(options, 'actions:stop', async (node, { name }) => {
        await node.stop(name, options.reason)
        io.out('actions are stopped; "cordon actions start" lets them go on')
      }),
    )
  command
    .command('start')
    .description('Switch the kill switch off. What was held back in the last day tries again, within the limits.')
    .addOption(configOption())
    .addOption(keyOption())
    .action((options: OrderOptions) =>
      onNodeAs(options, 'actions:operate', async (node, { name }) => {
        const { released, expired } = await node.start(name)
        io.out(`actions are on; ${released} held back try again, ${expired} are too old`)
      }),
    )
  return command
}
