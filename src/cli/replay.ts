import { Command, Option } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { isTimeless, type ReplayOptions, type ReplayResult, replayFile, type WhyNot } from '../engine/offline/replay.ts'
import { momentOf, replayStore } from '../engine/offline/replay-store.ts'
import { isCalled, loadRules } from '../engine/rules/rules.ts'
import { CordonError } from '../event/error.ts'
import { formatTime } from '../event/time.ts'
import type { Rule, RuleSet } from '../sigma/ast.ts'
import { correlationsUnder, detectionsUnder } from '../sigma/load.ts'
import { formatDiagnostic } from '../sigma/problems.ts'
import { type CommandFactory, EXIT, formatSkipped, type Io } from './io.ts'
import { configOption } from './node-options.ts'

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
  from?: 'elasticsearch'
  config: string
  index?: string
  query?: string
  since?: string
  until?: string
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
    .option(
      '--why-not <rule>',
      'id, name or title of a rule: print for each event the first condition that failed, or that there was no place for its group',
    )
    .addOption(new Option('--from <where>', 'take the events of the configured store instead of a file').choices(['elasticsearch']))
    .addOption(configOption())
    .option('--index <pattern>', "with --from: anybody's index, alias or pattern (default: Cordon's own events)")
    .option('--query <query>', 'with --from: only what this finds, in the syntax of Elasticsearch, such as host.name:web-1')
    .option('--since <time>', 'with --from: what happened then or later: 2026-03-01T10:00:00Z, or so long ago: 24h')
    .option('--until <time>', 'with --from: what happened before then')
    .argument('[file]', 'events, one a line; - for standard input')
    .action(async (named: string | undefined, options: Options, command: Command) => {
      const input = inputOf(named, options, command)
      const rules = loadRules([...options.rules, ...(options.lists ?? [])])
      const errors = rules.diagnostics.filter(({ severity }) => severity === 'error')
      for (const error of errors) io.err(...formatDiagnostic(error))

      const ndjson = options.format === undefined ? !io.terminal : options.format === 'ndjson'
      const result = await input.replay(rules, {
        anyLogsource: options.logsource === 'any',
        factless: ndjson,
        ...(options.source === undefined ? {} : { source: options.source }),
        onBadRecord: (record) => io.err(formatSkipped(input.name, record)),
        whyNot: options.whyNot === undefined ? [] : rulesNamed(rules, options.whyNot),
        onWhyNot: (answer) => io.out(ndjson ? whyNotJson(answer) : whyNotText(answer)),
        onProgress: (read) => io.err(`${read} ${input.unit} read …`),
      })

      for (const alert of result.alerts) io.out(...(ndjson ? [alertJson(alert, input)] : alertText(alert, input, io)))
      io.err(`${result.read} ${input.unit}, ${result.events} events, ${result.bad} skipped, ${result.alerts.length} alerts`)
      if (options.strict && result.bad > 0) done(EXIT.usage)
      else if (errors.length > 0) done(EXIT.rules)
      else done(options.failOnAlert && result.alerts.length > 0 ? EXIT.findings : EXIT.clean)
    })

/** Where the events come from. */
interface Input {
  readonly name: string
  readonly unit: 'lines' | 'documents'
  replay(rules: RuleSet, options: ReplayOptions): Promise<ReplayResult>
}

function inputOf(named: string | undefined, options: Options, command: Command): Input {
  const { from, config, index, query, since, until } = options
  if (from !== undefined) {
    if (named !== undefined) throw conflict(`events of ${from} and of ${named}`)
    const moment = (text: string | undefined) => (text === undefined ? undefined : momentOf(text, Date.now()))
    const wanted = { index, query, since: moment(since), until: moment(until) }
    return { name: from, unit: 'documents', replay: (rules, reports) => replayStore(loadConfig(config), wanted, rules, reports) }
  }
  const idle = Object.entries({ index, query, since, until }).find(([, value]) => value !== undefined)
  if (idle !== undefined) throw conflict(`--${idle[0]} is for documents of a store`)
  const file = named ?? lastPath(options, command)
  return { name: file, unit: 'lines', replay: (rules, reports) => replayFile(file, rules, reports) }
}

function conflict(what: string): CordonError {
  return new CordonError('INPUT_CONFLICT', what, { hint: 'name a file, or --from elasticsearch with what selects the documents there' })
}

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

/** The rules that a name stands for: itself, and those under a correlation. */
function rulesNamed(rules: RuleSet, name: string): readonly Rule[] {
  const rule = [...rules.detections, ...rules.correlations].find((candidate) => isCalled(candidate, name))
  if (rule !== undefined) return [...detectionsUnder(rule, rules), ...correlationsUnder(rule, rules)]
  throw new CordonError('RULE_UNKNOWN', `no rule called "${name}" was loaded`, {
    hint: 'give the id, name or title of a rule under --rules',
  })
}

/** The contract that other tools read: docs/reference/cli.md. */
function alertJson(alert: Alert, { unit }: Input): string {
  const { id, rule, time, group, evidence, late } = alert
  return JSON.stringify({
    kind: 'alert',
    id,
    rule: { id: rule.id, name: rule.name ?? null, title: rule.title, level: rule.level },
    time: isTimeless(alert) ? null : formatTime(time),
    group,
    ...(unit === 'lines' ? { lines: inputLines(evidence) } : { events: eventIds(evidence) }),
    late,
  })
}

function alertText(alert: Alert, { unit }: Input, io: Io): string[] {
  const group = Object.entries(alert.group).map(([field, value]) => `${field}=${value}`)
  const head = `${isTimeless(alert) ? 'no time' : formatTime(alert.time)} ${io.style('bold', alert.rule.level)} ${alert.rule.title}${alert.late ? ' (late)' : ''}`
  const facts = alert.evidence.flatMap(({ eventId, line, facts: parts }) => {
    const where = unit === 'lines' ? `line ${line}` : `event ${eventId}`
    return parts.flatMap((part) => part.facts.map(({ test, value }) => `    ${where}: ${test}  ← ${value}`))
  })
  const all = unit === 'lines' ? `lines ${inputLines(alert.evidence).join(', ')}` : `events ${eventIds(alert.evidence).join(', ')}`
  return [head, `  ${[...group, all].join(' ')}`, ...facts]
}

function inputLines(evidence: Alert['evidence']): number[] {
  return [...new Set(evidence.map(({ line }) => line))].sort((a, b) => a - b)
}

/** A store has no lines: there its documents are named, which are the events of a live run. */
function eventIds(evidence: Alert['evidence']): string[] {
  return [...new Set(evidence.map(({ eventId }) => eventId))].sort()
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
