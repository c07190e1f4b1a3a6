import { Command } from 'commander'
import { type Diagnosis, examine } from '../engine/doctor/doctor.ts'
import { type CommandFactory, EXIT, type Io } from './io.ts'
import { configOption } from './node-options.ts'

const COLOURS = { ok: 'green', warning: 'yellow', problem: 'red' } as const

export const doctorCommand: CommandFactory = (io, done) =>
  new Command('doctor')
    .description(
      'Look at everything that a node depends on, whether it runs or not: what is wrong, and what to do about it. Changes nothing. A key in CORDON_KEY lets it ask a running node.',
    )
    .addOption(configOption())
    .option('--json', 'one JSON document, for programs')
    .action(async ({ config, json = false }: { config: string; json?: boolean }) => {
      const findings = await examine(config, process.env.CORDON_KEY)
      const count = (level: Diagnosis['level']) => findings.filter((finding) => finding.level === level).length
      const status = count('problem') > 0 ? 'problems' : 'ok'
      if (json) io.out(JSON.stringify({ status, findings }))
      else {
        for (const finding of findings) io.out(...textOf(finding, io))
        io.err(`${count('problem')} problems, ${count('warning')} warnings, ${count('ok')} fine`)
      }
      done(status === 'ok' ? EXIT.clean : EXIT.findings)
    })

function textOf({ check, level, detail, remedy }: Diagnosis, io: Io): string[] {
  const head = `${io.style(COLOURS[level], level.padEnd(7))}  ${io.style('bold', check)}: ${detail}`
  return remedy === undefined ? [head] : [head, `         → ${remedy}`]
}
