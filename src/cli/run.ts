import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { type Engine, startEngine } from '../engine/engine.ts'
import { createLog } from '../engine/log.ts'
import { ROLES } from '../engine/roles.ts'
import { stopSignal, whenAborted } from '../engine/stop-signal.ts'
import { formatDiagnostic } from '../sigma/problems.ts'
import type { CommandFactory, Io } from './io.ts'
import { configOption } from './node-options.ts'

export const runCommand: CommandFactory = (io) =>
  new Command('run')
    .description('Run the node: take events in, find, answer. Stops on SIGTERM or SIGINT, after the batch in hand.')
    .addOption(configOption())
    .option('--role <roles>', `what this node does, separated by commas: ${ROLES.join(', ')}`, ROLES.join())
    .action(async ({ config: path, role }: { config: string; role: string }) => {
      const stopping = stopSignal()
      const config = loadConfig(path)
      const engine = await startEngine(config, createLog(config), role, stopping).catch((error: unknown) => {
        if (error !== stopping.reason) throw error
      })
      if (engine === undefined) {
        io.err('stopped before it had started')
        return
      }
      for (const diagnostic of engine.rules?.diagnostics ?? []) if (diagnostic.severity === 'error') io.err(...formatDiagnostic(diagnostic))
      announce(engine, io)
      await whenAborted(stopping)
      io.err('stopping …')
      await engine.stop()
      io.err('stopped; nothing that was acknowledged is lost')
    })

function announce({ config, roles, rules, ingestUrl, apiUrl, freshTokens }: Engine, io: Io): void {
  const label = config.label === undefined ? '' : ` [${config.label}]`
  const count = rules === undefined ? 'no' : rules.detections.length + rules.correlations.length
  io.err(`cordon${label}: ${count} rules, ${config.responders.length} responders, data in ${config.data}`)
  if (config.trust.keys === undefined) io.err('  UNSIGNED    rules and policy are taken as they are: trust.keys names who has to sign them')
  if (roles.size < ROLES.length) io.err(`  roles       ${[...roles].join(', ')}`)
  if (ingestUrl !== undefined) io.err(`  events in   ${ingestUrl}  (POST /v1/events, POST /v1/logs)`)
  io.err(`  API         ${apiUrl}  (${roles.has('api') ? '/v1/alerts, /v1/incidents, /v1/actions, ' : ''}/health, /metrics)`)
  if (freshTokens !== undefined) {
    io.err('  tokens made at this first start, shown only now:')
    io.err(`    for senders  ${freshTokens.ingest}`)
    io.err(`    for the API  ${freshTokens.api}`)
  }
  if (roles.has('respond') && config.responders.length === 0)
    io.err('  no responder is configured: alerts and incidents are recorded, nobody is told and nothing is contained')
}
