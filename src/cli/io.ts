import { randomInt } from 'node:crypto'
import { styleText } from 'node:util'
import type { Command } from 'commander'
import { CordonError, formatPlace } from '../event/error.ts'
import { withoutSecrets } from '../event/secrets.ts'
import { visible } from '../event/text.ts'

/** Exit codes of every command (docs/reference/cli.md). The higher wins where several apply. */
export const EXIT = { clean: 0, findings: 1, rules: 2, usage: 3 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/**
 * Where a command writes: results to `out`, everything said about the work to `err`. Each text is one line, whatever an event, a vendor
 * or a person has put into it: what could begin another line or steer a terminal is shown instead.
 */
export interface Io {
  out(...lines: readonly string[]): void
  err(...lines: readonly string[]): void
  /** Results go to a terminal: people read them. */
  readonly terminal: boolean
  /** Colours the text for the terminal, if that is wanted (`NO_COLOR`, a pipe). */
  style(format: 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan', text: string): string
}

/** Where a style begins or ends for a terminal (ECMA-48: control sequence introducer). */
const ESCAPE = '\u001b['

/** As Node ends a process that an error has ended. */
const CRASHED = 1

/** A command: registers itself, and reports its exit code through `done`. */
export type CommandFactory = (io: Io, done: (code: ExitCode) => void) => Command

/** The process's own output: no secret that it has read is in it. */
export function processIo(): Io {
  // A reader that has seen enough, such as head, closes the pipe: that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  const err = (...lines: readonly string[]) => {
    for (const line of lines) process.stderr.write(`${visible(withoutSecrets(line))}\n`)
  }
  // Node's own way prints the error with all that hangs on it, such as a request with its headers, and reports have the environment.
  process.on('uncaughtException', (error) => {
    err(...formatError(error))
    process.exit(CRASHED)
  })
  process.report.excludeEnv = true
  // Our own styles are known by a number that nobody who has put an escape sequence into a value can know.
  const ours = `${ESCAPE}${randomInt(1e9, 1e10)};`
  return {
    out(...lines) {
      for (const line of lines) process.stdout.write(`${withoutSecrets(line).split(ours).map(visible).join(ESCAPE)}\n`)
    },
    err,
    terminal: process.stdout.isTTY === true,
    style: (format, text) => styleText(format, visible(text), { stream: process.stdout, validateStream: true }).replaceAll(ESCAPE, ours),
  }
}

/** A record that could not be read: a replay goes on without it. */
export function formatSkipped(file: string, { line, code, reason }: { line: number; code: string; reason: string }): string {
  return `${file === '-' ? 'standard input' : file}:${line} skipped ${code}: ${reason}`
}

/** An error in the field's habit, line by line: where, what, code, and what to do about it. */
export function formatError(error: unknown): string[] {
  if (!(error instanceof CordonError))
    return `cordon: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`.split('\n')
  const where = error.where === undefined ? '' : `${formatPlace(error.where)} `
  // A message that names several mistakes has a line for each.
  const lines = `cordon: ${where}error ${error.code}: ${error.message}`.split('\n')
  return error.hint === undefined ? lines : [...lines, `  hint: ${error.hint}`]
}
