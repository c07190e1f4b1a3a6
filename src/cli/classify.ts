import { Command } from 'commander'
import { type Classification, classifyFile, type SourceShare } from '../engine/offline/classify.ts'
import { type CommandFactory, EXIT, type Io } from './io.ts'

export const classifyCommand: CommandFactory = (io, done) =>
  new Command('classify')
    .description('Say which source a sample looks like, what its records come to, what cannot be read and why, and what to do next.')
    .argument('[file]', 'a sample of what a product writes or sends; - for standard input', '-')
    .option('--json', 'one JSON document, for programs')
    .action(async (file: string, { json = false }: { json?: boolean }) => {
      const found = await classifyFile(file)
      if (json) io.out(JSON.stringify(found))
      else io.out(...textOf(found, file, io))
      done(found.records > 0 && found.unknown === 0 && found.unreadable.records === 0 ? EXIT.clean : EXIT.findings)
    })

/** Of what cannot be read, a person sees so many; `--json` has more. */
const SHOWN_PROBLEMS = 5

function textOf(found: Classification, file: string, io: Io): string[] {
  const { bytes, cut, records, sources, unknown, unreadable } = found
  const size = `${Math.ceil(bytes / 1_000).toLocaleString('en')} KB`
  const lines = [`${counted(records, 'record')} in ${cut ? `the first ${size}; the rest was not looked at` : size}`]
  if (records === 0) lines.push(cut ? 'not one of them is complete: the sample is one long document' : 'there is nothing to classify')
  for (const source of sources) lines.push('', ...sourceText(source, file, io))
  if (unknown > 0) {
    lines.push(
      '',
      `${io.style('yellow', 'unknown')}  ${counted(unknown, 'record')} of JSON are of no product that Cordon knows, and no ECS`,
    )
    lines.push('  they are taken as they are: rules must name the fields that they have (docs/guides/sources/ecs.passthrough.md)')
  }
  if (unreadable.records > 0) {
    const codes = Object.entries(unreadable.codes).map(([code, count]) => `${count} ${code}`)
    lines.push(
      '',
      `${io.style('red', 'unreadable')}  ${counted(unreadable.records, 'record')}: ${codes.join(', ')} (docs/reference/errors.md)`,
    )
    for (const { line, code, reason } of unreadable.first.slice(0, SHOWN_PROBLEMS)) lines.push(`  line ${line}  ${code}: ${reason}`)
    if (unreadable.records > SHOWN_PROBLEMS) lines.push(`  and ${unreadable.records - SHOWN_PROBLEMS} more`)
  }
  return lines
}

function sourceText(
  { source, title, share, records, events, fields, logsources, gaps, guide }: SourceShare,
  file: string,
  io: Io,
): string[] {
  const percent = (part: number, whole: number) => `${Math.round((100 * part) / whole)} %`
  const filled = Object.entries(fields).map(([name, count]) => (count === events ? name : `${name} (${percent(count, events)})`))
  return [
    `${io.style('bold', source)}  ${title}: ${percent(share, 1)}, ${counted(records, 'record')} → ${counted(events, 'event')}`,
    `  fills        ${filled.join(', ') || 'no key field'}`,
    `  log sources  ${
      Object.entries(logsources)
        .map(([name, count]) => `${name} (${count})`)
        .join(', ') || 'none: only rules without a log source see it'
    }`,
    ...gaps.map((gap) => `  ${io.style('yellow', 'lacking')}      ${gap}`),
    `  look         cordon normalise --source ${source} ${file}`,
    `  set up       ${guide}`,
  ]
}

function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`
}
