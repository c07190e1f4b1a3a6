import { Command, Option } from 'commander'
import type { AlertView } from '../engine/operations.ts'
import { LEVELS, type Level } from '../sigma/ast.ts'
import { alertText, groupText } from './alert-text.ts'
import type { CommandFactory } from './io.ts'
import { configOption, formatOption, limitOption, type NodeOptions, onNode, wantsJson } from './node-options.ts'
import { colourOf, table } from './table.ts'

/** What its rule groups by; of one event, the entities that it names. */
function aboutOf({ group, entities }: AlertView): string {
  return groupText(group) || entities.map(({ kind, id }) => `${kind} ${id}`).join(', ')
}

export const alertsCommand: CommandFactory = (io) => {
  const command = new Command('alerts').description('What the rules found.')
  command
    .command('list')
    .description('Alerts, the newest first.')
    .addOption(configOption())
    .addOption(formatOption())
    .addOption(limitOption())
    .addOption(new Option('--level <level>', 'of this level only').choices(LEVELS))
    .option('--rule <id>', 'of this rule only')
    .action((options: NodeOptions & { limit: number; level?: Level; rule?: string }) =>
      onNode(options.config, async (node) => {
        const { limit, level, rule } = options
        const alerts = await node.alerts({ limit, ...(level === undefined ? {} : { level }), ...(rule === undefined ? {} : { rule }) })
        if (wantsJson(io, options)) for (const alert of alerts) io.out(JSON.stringify(alert))
        else {
          const rows = alerts.map((alert) => [
            alert.id.slice(0, 8),
            alert.time,
            io.style(colourOf(alert.rule.level), alert.rule.level),
            alert.rule.title,
            aboutOf(alert),
          ])
          io.out(
            ...table(
              ['ALERT', 'TIME', 'LEVEL', 'RULE', 'ABOUT'],
              rows,
              level === undefined && rule === undefined ? 'no alerts yet' : 'no such alerts',
            ),
          )
        }
      }),
    )
  command
    .command('show')
    .description('One alert: each condition with the value and the line that met it.')
    .argument('<id>', 'its id, or the beginning of it')
    .addOption(configOption())
    .addOption(formatOption())
    .action((prefix: string, options: NodeOptions) =>
      onNode(options.config, async (node) => {
        const alert = await node.alert(prefix)
        io.out(...(wantsJson(io, options) ? [JSON.stringify(alert)] : alertText(alert, io)))
      }),
    )
  return command
}
