import { Command, InvalidArgumentError } from 'commander'
import { type AuditSource, checkProofFile, consistencyOf, listAudit, proveEntry, verifyAudit } from '../engine/audit/audit-reading.ts'
import { formatTime } from '../event/time.ts'
import { type CommandFactory, EXIT } from './io.ts'
import { configOption, formatOption, limitOption, type NodeOptions, wantsJson } from './node-options.ts'
import { table } from './table.ts'

export const auditCommand: CommandFactory = (io, done) => {
  const command = new Command('audit').description(
    'The tamper-evident log of what was decided and done: read it, verify it, prove entries.',
  )
  const reading = (name: string, description: string) =>
    command
      .command(name)
      .description(description)
      .option('--folder <folder>', 'folder of a log, such as a copy; default: the audit folder of the configured node')
      .option('--key <file>', 'public keys that count, one a line; default: the key.pub in the folder, which proves nothing to others')
      .addOption(configOption())
  reading('verify', 'Hold the log against its signed checkpoints. Offline. Exit 1 where anything is not as it was.')
    .option('--checkpoints <path>', 'checkpoints kept elsewhere: the witness’s folder, a file of them, or a node’s log output')
    .option('--no-values', 'only the log: of a copy that was given away without the values beside it')
    .addOption(formatOption())
    .action(async (options: AuditSource & NodeOptions & { readonly values: boolean }) => {
      const { entries, covered, latest, findings } = await verifyAudit(options)
      if (wantsJson(io, options)) io.out(JSON.stringify({ entries, covered, signed: latest && formatTime(latest.time), findings }))
      else {
        const signed =
          latest === undefined ? 'covered by no checkpoint' : `${covered} covered by checkpoints, the latest of ${formatTime(latest.time)}`
        io.out(`${entries} entries, ${signed}`)
        if (covered < entries) io.out(`${entries - covered} behind them are covered by none: nothing proves that they are as they were`)
        for (const { kind, text, index, byte, exact, before } of findings) {
          const which = exact === false ? `one of the entries ${index} to ${before! - 1}, from` : `entry ${index},`
          io.out(io.style('red', index === undefined ? `${kind}: ${text}` : `${kind}: ${which} byte ${byte}: ${text}`))
        }
        if (findings.length === 0) io.out(covered < entries ? 'what is covered is as it was' : 'all of it is as it was')
        if (options.checkpoints === undefined) io.err('held against its own checkpoints only: --checkpoints names those kept elsewhere')
        if (options.key === undefined) io.err('checked with the key in its own folder: --key names one kept elsewhere')
      }
      done(findings.length === 0 ? EXIT.clean : EXIT.findings)
    })
  reading('list', 'The latest entries, the newest last. What was erased shows as (erased).')
    .addOption(formatOption())
    .addOption(limitOption())
    .action(async (options: AuditSource & NodeOptions & { limit: number }) => {
      const entries = await listAudit(options, options.limit)
      if (wantsJson(io, options)) for (const entry of entries) io.out(JSON.stringify(entry))
      else {
        const value = (text: string | null | undefined) => (text === null ? '(erased)' : (text ?? ''))
        const rows = entries.map(({ index, at, what, sealed: { by, why, target } }) => [
          `${index}`,
          at,
          what,
          value(by),
          value(target),
          value(why),
        ])
        io.out(...table(['ENTRY', 'AT', 'WHAT', 'BY', 'TARGET', 'WHY'], rows, 'no entries yet'))
      }
    })
  reading('prove', 'Print the proof that an entry is in the log: it stands alone, and "audit check-proof" checks it.')
    .argument('<entry>', 'its number', entryNumber)
    .action(async (entry: number, options: AuditSource) => io.out(...(await proveEntry(options, entry)).trimEnd().split('\n')))
  reading('consistency', 'Whether this log grew out of checkpoints that were kept elsewhere. Exit 1 where it did not.')
    .requiredOption('--checkpoints <path>', 'as for verify')
    .action(async (options: AuditSource) => {
      const found = await consistencyOf(options)
      for (const { checkpoint, holds } of found)
        io.out(`${formatTime(checkpoint.time)}  ${checkpoint.size} entries  ${holds ? 'this log grew out of it' : 'NOT of this log'}`)
      done(found.length > 0 && found.every(({ holds }) => holds) ? EXIT.clean : EXIT.findings)
    })
  command
    .command('check-proof')
    .description('Check the proof of an entry. Needs neither log nor node.')
    .argument('<file>', 'what "audit prove" printed')
    .requiredOption('--key <file>', 'public key of the node')
    .action((file: string, { key }: { key: string }) => {
      const { entry, checkpoint } = checkProofFile(file, key)
      io.out(JSON.stringify(entry))
      io.err(`proven: entry ${entry.index} of ${checkpoint.origin}, as signed at ${formatTime(checkpoint.time)}`)
    })
  return command
}

function entryNumber(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0 || text.trim() === '') throw new InvalidArgumentError('expected the number of an entry')
  return value
}
