import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { PACKAGE_ROOT } from '../engine/config.ts'
import { actionsCommand } from './actions.ts'
import { alertsCommand } from './alerts.ts'
import { auditCommand } from './audit.ts'
import { classifyCommand } from './classify.ts'
import { doctorCommand } from './doctor.ts'
import { incidentsCommand } from './incidents.ts'
import { initCommand } from './init.ts'
import { type CommandFactory, EXIT, type ExitCode, formatError, type Io, processIo } from './io.ts'
import { keysCommand } from './keys.ts'
import { nodesCommand } from './nodes.ts'
import { normaliseCommand } from './normalise.ts'
import { policyCommand } from './policy.ts'
import { privacyCommand } from './privacy.ts'
import { replayCommand } from './replay.ts'
import { rulesCommand } from './rules.ts'
import { runCommand } from './run.ts'
import { signCommand } from './sign.ts'
import { testCommand } from './test.ts'
import { topicsCommand } from './topics.ts'
import { validateCommand } from './validate.ts'

const COMMANDS: readonly CommandFactory[] = [
  runCommand,
  initCommand,
  validateCommand,
  testCommand,
  replayCommand,
  classifyCommand,
  normaliseCommand,
  alertsCommand,
  incidentsCommand,
  actionsCommand,
  policyCommand,
  auditCommand,
  signCommand,
  keysCommand,
  privacyCommand,
  rulesCommand,
  nodesCommand,
  topicsCommand,
  doctorCommand,
]

/** The command line. Answers the exit code: 0 clean, 1 findings, 2 a rule does not load, 3 configuration or usage. */
export async function main(argv: readonly string[], io: Io = processIo()): Promise<ExitCode> {
  let code: ExitCode = EXIT.clean
  const { version } = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string }
  const program = new Command('cordon')
    .description(
      'Event-driven detection and response: Sigma rules over agent, endpoint, network and identity events, with containment that can be trusted.',
    )
    .version(version)
    .addHelpText(
      'after',
      '\nExit codes: 0 clean, 1 findings, 2 a rule does not load, 3 configuration or usage.\nGuides and reference: docs/ in the package.',
    )
    .showSuggestionAfterError()
  for (const factory of COMMANDS) program.addCommand(factory(io, (result) => (code = result)))
  throwOnExit(program, io)
  try {
    await program.parseAsync([...argv])
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.clean : EXIT.usage
    io.err(...formatError(error))
    return EXIT.usage
  }
  return code
}

const linesOf = (text: string) => text.trimEnd().split('\n')

/** Commander exits the process by itself unless every command is told not to. */
function throwOnExit(command: Command, io: Io): void {
  command.exitOverride().configureOutput({ writeOut: (text) => io.out(...linesOf(text)), writeErr: (text) => io.err(...linesOf(text)) })
  for (const child of command.commands) throwOnExit(child, io)
}
