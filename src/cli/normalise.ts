import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { normaliseFile } from '../engine/offline/normalise-file.ts'
import { privacyOf, UNREDACTED } from '../engine/privacy.ts'
import { stringifyJson } from '../event/json.ts'
import { type CommandFactory, EXIT, formatSkipped } from './io.ts'

interface Options {
  source: string
  config?: string
  unredacted?: boolean
  strict?: boolean
}

export const normaliseCommand: CommandFactory = (io, done) =>
  new Command('normalise')
    .alias('normalize')
    .description('Show what Cordon makes of vendor records: one event a line, as rules see it before anything is joined.')
    .requiredOption(
      '--source <name>',
      'what the records are: agent.claude_cowork, agent.codex, agent.gemini_cli, linux.auditd, ecs.passthrough',
    )
    .option('-c, --config <file>', 'configuration whose privacy settings hold (default: those that Cordon comes with)')
    .option('--unredacted', 'with the personal data and secrets of the records, which a node never keeps')
    .option('--strict', 'exit 3 if a record cannot be read')
    .argument('<file>', 'records, in the form the source sends them (OTLP JSON: one export request a line); - for standard input')
    .action(async (file: string, { source, config, unredacted = false, strict = false }: Options) => {
      const privacy = privacyOf(config === undefined ? undefined : loadConfig(config))
      if (unredacted) io.err('warning: what follows is not redacted: personal data and secrets of the records are in it')
      let bad = 0
      let events = 0
      const lines = normaliseFile(file, source, unredacted ? UNREDACTED : privacy, (record) => {
        bad++
        io.err(formatSkipped(file, record))
      })
      for await (const item of lines) {
        events++
        io.out(stringifyJson(item))
      }
      io.err(`${events} events, ${bad} records skipped`)
      done(strict && bad > 0 ? EXIT.usage : EXIT.clean)
    })
