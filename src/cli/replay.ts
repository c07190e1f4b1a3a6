import { Command, Option } from 'commander'
import { isTimeless, type ReplayResult, replayFile, type WhyNot } from '../engine/replay.ts'
import { isCalled, loadRules } from '../engine/rules.ts'
import { CordonError } from '../event/error.ts'
import { formatTime } from '../event/time.ts'
import type { DetectionRule, RuleSet } from '../sigma/ast.ts'
import { detectionsUnder } from '../sigma/load.ts'
import { formatDiagnostic } from '../sigma/problems.ts'
import { type CommandFactory, EXIT, formatSkipped, type Io } from './io.ts'

type Alert = ReplayResult['alerts'][number]

interface Options {
  rules: string[]
  lists?: string[]
  logsource?: 'any'
  source?: string
  format?: 'text' | 'ndjson'
  strict?: boolean
  failOnAlert?: boolean
  whyNot?: string
}

export const replayCommand: CommandFactory = (io, done) =>
  new Command('replay')
    .description('Run recorded events through rules and print the alert set. Nothing can act: no response is planned, sent or stored.')
    .requiredOption('--rules <path...>', 'files and folders with rules, filters and lists')
    .option('--lists <path...>', 'more list files; a list here replaces one of the same name')
    .addOption(new Option('--logsource <which>', 'treat every event as belonging to every log source').choices(['any']))
    .option('--source <name>', 'what the records are, such as linux.auditd (default: recognised record by record)')
    .addOption(new Option('--format <format>', 'default: text on a terminal, ndjson in a pipe').choices(['text', 'ndjson']))
    .option('--strict', 'exit 3 if a line cannot be read')
    .option('--fail-on-alert', 'exit 1 if there is an alert')
    .option('--why-not <rule>', 'id, name or title of a rule: print for each event the first condition that failed')
    .argument('[file]', 'events, one a line; - for standard input')
    .action(async (named: string | undefined, options: Options, command: Command) => {
      const file = named ?? lastPath(options, command)
      const rules = loadRules([...options.rules, ...(options.lists ?? [])])
      const errors = rules.diagnostics.filter(({ severity }) => severity === 'error')
      for (const error of errors) io.err(formatDiagnostic(error))

      const ndjson = options.format === undefined ? !io.terminal : options.format === 'ndjson'
      const result = await replayFile(file, rules, {
        anyLogsource: options.logsource === 'any',
        factless: ndjson,
        ...(options.source === undefined ? {} : { source: options.source }),
        onBadRecord: (record) => io.err(formatSkipped(file, record)),
        whyNot: options.whyNot === undefined ? [] : rulesNamed(rules, options.whyNot),
        onWhyNot: (answer) => io.out(ndjson ? whyNotJson(answer) : whyNotText(answer)),
        onProgress: (lines) => io.err(`${lines} lines read …`),
      })

      for (const alert of result.alerts) io.out(ndjson ? alertJson(alert) : alertText(alert, io))
      io.err(`${result.lines} lines, ${result.events} events, ${result.bad} skipped, ${result.alerts.length} alerts`)
      if (options.strict && result.bad > 0) done(EXIT.usage)
      else if (errors.length > 0) done(EXIT.rules)
      else done(options.failOnAlert && result.alerts.length > 0 ? EXIT.findings : EXIT.clean)
    })

/**
 * `--rules` and `--lists` take any number of paths, so a file that follows one directly is among them: it is the last path of
 * the option that was given last, or of the other where this one has only one.
 */
function lastPath({ rules, lists = [] }: Options, command: Command): string {
  const { rawArgs } = command.parent as unknown as { rawArgs: readonly string[] }
  const given = rawArgs.lastIndexOf('--lists') > rawArgs.lastIndexOf('--rules') ? [lists, rules] : [rules, lists]
  const path = given.find((paths) => paths.length > 1)?.pop()
  if (path === undefined) {
    throw new CordonError('INPUT_MISSING', 'no events to replay', {
      hint: 'cordon replay --rules rules events.ndjson, or - for standard input',
    })
  }
  return path
}

/** The detection rules that a name stands for: itself, or those under a correlation. */
function rulesNamed(rules: RuleSet, name: string): readonly DetectionRule[] {
  const rule = [...rules.detections, ...rules.correlations].find((candidate) => isCalled(candidate, name))
  if (rule !== undefined) return detectionsUnder(rule, rules)
  throw new CordonError('RULE_UNKNOWN', `no rule called "${name}" was loaded`, {
    hint: 'give the id, name or title of a rule under --rules',
  })
}

/** The contract that other tools read: docs/reference/cli.md. */
function alertJson(alert: Alert): string {
  const { id, rule, time, group, evidence, late } = alert
  return JSON.stringify({
    kind: 'alert',
    id,
    rule: { id: rule.id, name: rule.name ?? null, title: rule.title, level: rule.level },
    time: isTimeless(alert) ? null : formatTime(time),
    group,
    lines: inputLines(evidence),
    late,
  })
}

function alertText(alert: Alert, io: Io): string {
  const group = Object.entries(alert.group).map(([field, value]) => `${field}=${value}`)
  const head = `${isTimeless(alert) ? 'no time' : formatTime(alert.time)} ${io.style('bold', alert.rule.level)} ${alert.rule.title}${alert.late ? ' (late)' : ''}`
  const facts = alert.evidence.flatMap(({ line, facts: parts }) =>
    parts.flatMap((part) => part.facts.map(({ test, value }) => `    line ${line}: ${test}  ← ${value}`)),
  )
  return [head, `  ${group.join(' ')}${group.length > 0 ? ' ' : ''}lines ${inputLines(alert.evidence).join(', ')}`, ...facts].join('\n')
}

function inputLines(evidence: Alert['evidence']): number[] {
  return [...new Set(evidence.map(({ line }) => line))].sort((a, b) => a - b)
}

function whyNotJson({ line, rule, failure }: WhyNot): string {
  const head = { kind: 'why-not', line, rule: { id: rule.id, title: rule.title } }
  return JSON.stringify(
    failure === undefined
      ? { ...head, matched: true }
      : { ...head, matched: false, selection: failure.selection, test: failure.text, value: failure.value ?? null },
  )
}

function whyNotText({ line, rule, failure }: WhyNot): string {
  if (failure === undefined) return `line ${line}: ${rule.title}: matched`
  return `line ${line}: ${rule.title}: ${failure.selection} failed: ${failure.text}  (the event has ${failure.value === undefined ? 'nothing there' : JSON.stringify(failure.value)})`
}
