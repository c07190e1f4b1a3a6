import { Command } from 'commander'
import { normaliseFile } from '../engine/offline/normalise-file.ts'
import { stringifyJson } from '../event/json.ts'
import { type CommandFactory, EXIT, formatSkipped } from './io.ts'

export const normaliseCommand: CommandFactory = (io, done) =>
  new Command('normalise')
    .alias('normalize')
    .description('Show what Cordon makes of vendor records: one event a line, as rules see it before anything is joined.')
    .requiredOption(
      '--source <name>',
      'what the records are: agent.claude_cowork, agent.codex, agent.gemini_cli, linux.auditd, ecs.passthrough',
    )
    .option('--strict', 'exit 3 if a record cannot be read')
    .argument('<file>', 'records, in the form the source sends them (OTLP JSON: one export request a line); - for standard input')
    .action(async (file: string, { source, strict }: { source: string; strict?: boolean }) => {
      let bad = 0
      let events = 0
      const lines = normaliseFile(file, source, (record) => {
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
