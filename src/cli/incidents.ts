import { Command, Option } from 'commander'
import { INCIDENT_STATUSES, type IncidentStatus } from '../engine/operations.ts'
import { alertText } from './alert-text.ts'
import type { CommandFactory } from './io.ts'
import {
  configOption,
  formatOption,
  limitOption,
  type NodeOptions,
  type OrderOptions,
  onNode,
  onNodeAs,
  orderCommand,
  wantsJson,
} from './node-options.ts'
import { colourOf, table } from './table.ts'

export const incidentsCommand: CommandFactory = (io) => {
  const command = new Command('incidents').description('What on-call has to know: alerts of one entity, what was done, what waits.')
  command
    .command('list')
    .description('Incidents, the one with the latest alert first.')
    .addOption(configOption())
    .addOption(formatOption())
    .addOption(limitOption())
    .addOption(new Option('--status <status>', 'in this status only').choices(INCIDENT_STATUSES))
    .action((options: NodeOptions & { limit: number; status?: IncidentStatus }) =>
      onNode(options.config, async (node) => {
        const { limit, status } = options
        const incidents = await node.incidents({ limit, ...(status === undefined ? {} : { status }) })
        if (wantsJson(io, options)) for (const incident of incidents) io.out(JSON.stringify(incident))
        else {
          const rows = incidents.map((item) => [
            item.short,
            item.lastAlert,
            item.status,
            io.style(colourOf(item.severity), item.severity),
            String(item.alerts - item.withdrawn),
            item.entity.name,
            item.title,
          ])
          io.out(
            ...table(
              ['INCIDENT', 'LAST ALERT', 'STATUS', 'SEVERITY', 'ALERTS', 'ABOUT', 'TITLE'],
              rows,
              status === undefined ? 'no incidents yet' : `no incident is ${status}`,
            ),
          )
        }
      }),
    )
  command
    .command('show')
    .description('One incident: its story, its actions, and for each alert every condition with the value and line that met it.')
    .argument('<id>', 'its id, or the beginning of it')
    .addOption(configOption())
    .addOption(formatOption())
    .action((prefix: string, options: NodeOptions) =>
      onNode(options.config, async (node) => {
        const incident = await node.incident(prefix)
        const alerts = await node.alerts({ incident: incident.id, limit: 20, withdrawn: true })
        if (wantsJson(io, options)) {
          io.out(JSON.stringify({ ...incident, alertDocuments: alerts }))
          return
        }
        io.out(
          io.style('bold', incident.title),
          `  incident ${incident.short}  ${incident.status}  severity ${incident.severity}  ${incident.entity.name}  opened ${incident.openedAt}`,
        )
        if (incident.message !== undefined) io.out(`  ${incident.message}`)
        for (const entry of incident.timeline) io.out(`  ${entry.at}  ${entry.text}`)
        if (incident.recommendations.length > 0) io.out('Recommended, for a person to do:')
        for (const { verb, target, reason } of incident.recommendations)
          io.out(`  ${verb}${target === '' ? '' : ` on ${target}`}: ${reason}`)
        io.out(alerts.length < incident.alerts ? `Alerts (${alerts.length} of ${incident.alerts}):` : 'Alerts:')
        for (const alert of alerts) io.out(...alertText(alert, io))
        if (incident.effects.length > 0)
          io.out(`Actions: ${incident.effects.map((id) => id.slice(0, 8)).join(', ')} (cordon actions show ID, cordon actions undo ID)`)
      }),
    )
  const orders = [
    [
      'acknowledge',
      'incidents:acknowledge',
      'Say that you look after an incident: no further people are told that a question about it waits.',
    ],
    ['resolve', 'actions:operate', 'End an incident. What only it holds is called off or undone.'],
  ] as const
  for (const [name, permission, description] of orders) {
    orderCommand(command, name, description).action((prefix: string, options: OrderOptions & { reason: string }) =>
      onNodeAs(options, permission, async (node, principal) => {
        const { short, title, status } = await node[name](prefix, principal.name, options.reason)
        io.out(`${short} ${title}: ${status}`)
      }),
    )
  }
  return command
}
