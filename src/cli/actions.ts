import { Command } from 'commander'
import { tellCode } from '../engine/code.ts'
import { loadConfig } from '../engine/config.ts'
import type { ActionView } from '../engine/operations.ts'
import { actionsPlanCommand } from './actions-plan.ts'
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
  orderCommand,
  ordering,
  reasonOption,
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
          io.out(
            ...table(
              ['ACTION', 'VERB', 'TARGET', 'STATE', 'RESPONDER', 'REASON'],
              rows,
              state === undefined ? 'no actions yet' : `no action is ${state}`,
            ),
          )
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
        if (action.undoRequested !== undefined)
          io.out(`  undo      asked for by ${action.undoRequested.by}: ${action.undoRequested.reason}`)
        if (action.approval !== undefined) for (const line of askedOf(action.approval)) io.out(line)
      }),
    )
  orderCommand(
    command,
    'undo',
    'Undo an action that is in force, or call off one that was not sent yet. Runs even if the node is restarted meanwhile.',
  ).action((prefix: string, options: OrderOptions & { reason: string }) =>
    onNodeAs(options, 'actions:operate', async (node, { name }) => {
      const { short, verb, target, state } = await node.undo(prefix, name, options.reason)
      const done =
        state === 'REJECTED' ? 'called off' : `undo asked for; a running node does it and reads it back (cordon actions show ${short})`
      io.out(`${verb} ${target.kind} ${target.id}: ${done}`)
    }),
  )
  const decisions = [
    ['approve', 'Approve an action that people are asked about. With the last approval that it takes, a running node sends it.'],
    ['reject', 'Say no to an action that people are asked about. It is over until a new detection.'],
  ] as const
  for (const [name, description] of decisions) {
    const one = orderCommand(command, name, description).option(
      '--digest <digest>',
      'of what you saw (actions show): if the action is no longer that, nothing happens',
    )
    if (name === 'approve') one.option('--break-glass', 'in an emergency: alone, at once; everybody is told')
    one.action((prefix: string, options: OrderOptions & { reason: string; digest?: string; breakGlass?: boolean }) =>
      onNodeAs(options, 'actions:approve', async (node, principal) => {
        const { reason, digest, breakGlass = false } = options
        const { short, verb, target, state, reason: now } = await node[name](prefix, { principal, reason, digest, breakGlass })
        const waits = `waits for one more approval, by another person (cordon actions show ${short})`
        io.out(`${verb} ${target.kind} ${target.id}: ${state === 'AWAITING_APPROVAL' ? waits : now}`)
      }),
    )
  }
  orderCommand(command, 'release', 'Send an action that a limit holds back: this one, beyond the limit.').action(
    (prefix: string, options: OrderOptions & { reason: string }) =>
      onNodeAs(options, 'actions:operate', async (node, { name }) => {
        const { verb, target, reason } = await node.release(prefix, name, options.reason)
        io.out(`${verb} ${target.kind} ${target.id}: ${reason}; a running node sends it`)
      }),
  )
  orderCommand(
    command,
    'code',
    'What opens again what an action locked, such as the PIN of a Mac. That you asked for it is on the record.',
  ).action(async (prefix: string, options: OrderOptions & { reason: string }) => {
    const config = loadConfig(options.config)
    const { name } = ordering(config, options, 'actions:approve')
    const { code, action } = await tellCode(config, prefix, name, options.reason)
    io.out(`${action.verb} ${action.target.kind} ${action.target.id}: ${code}`)
  })
  command
    .command('stop')
    .description('The kill switch: nothing that acts on the world is sent from now on. Incidents still open, and people are still told.')
    .addOption(reasonOption())
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
  command.addCommand(actionsPlanCommand(io))
  return command
}

function askedOf({ requester, asked, until, digest, given }: NonNullable<ActionView['approval']>): string[] {
  return [
    `  asked     ${asked}, until ${until}, on behalf of ${requester}`,
    `  digest    ${digest}`,
    ...given.map(({ by, at, reason, breakGlass }) => `  ${breakGlass ? 'BREAK-GLASS' : 'approved'}  ${at} by ${by}: ${reason}`),
  ]
}
