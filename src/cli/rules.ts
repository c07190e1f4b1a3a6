import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import type { RuleChanges } from '../engine/rules/rule-changes.ts'
import { type ActiveRules, activeRules, reviewActivation } from '../engine/rules/rule-orders.ts'
import { CordonError } from '../event/error.ts'
import { formatTime } from '../event/time.ts'
import type { RuleSet } from '../sigma/ast.ts'
import { formatDiagnostic } from '../sigma/problems.ts'
import { type CommandFactory, EXIT, formatError, type Io } from './io.ts'
import { configOption, formatOption, keyOption, type NodeOptions, type OrderOptions, ordering, wantsJson } from './node-options.ts'

export const rulesCommand: CommandFactory = (io, done) => {
  const command = new Command('rules').description('Which rules are in force.')
  command
    .command('active')
    .description('The rules that events are judged by now, and who activated them.')
    .addOption(configOption())
    .addOption(formatOption())
    .action(async (options: NodeOptions) => {
      const active = await activeRules(loadConfig(options.config))
      if (active === undefined) io.err('no rules are active yet')
      else if (wantsJson(io, options)) {
        const { bundle, by, at, rules } = active
        const list = [...rules.detections, ...rules.correlations].map(({ id, title, level, hash }) => ({ id, title, level, hash }))
        io.out(JSON.stringify({ bundle, by, at: formatTime(at), rules: list, refused: rules.refused }))
      } else {
        io.out(describe(active))
        io.out(...errorsOf(active.rules))
      }
    })
  command
    .command('activate')
    .description('Put the rule files of the configuration in force on every node. On embedded logs the node does so by itself.')
    .option('--dry-run', 'show only what changes; exit 1 if something does')
    .addOption(configOption())
    .addOption(keyOption())
    .action(async ({ dryRun = false, ...options }: OrderOptions & { dryRun?: boolean }) => {
      const config = loadConfig(options.config)
      if (config.streams.kind === 'embedded' && !dryRun) {
        throw new CordonError('RULES_FROM_FILES', 'a node with embedded logs takes its rules from its files, whenever these change', {
          hint: 'there is nothing to activate; --dry-run shows what is not in force yet, and why',
        })
      }
      await reviewActivation(config, { append: !dryRun }, async (review) => {
        const { active, bundle, refusal, rules } = review
        if (active !== undefined) io.out(`now         ${describe(active)}`)
        const news = active?.bundle !== bundle
        if (news) io.out(`these files ${bundle}: ${count(rules)}`)
        if (news) io.out(...changeLines(review.changes, io))
        io.out(...errorsOf(rules))
        if (refusal !== undefined) io.out(...formatError(refusal))
        else if (!news) io.out('these files are active already')
        else if (!dryRun) {
          await review.activate(ordering(config, options, 'rules:activate').name)
          io.out(`activated ${bundle}: every node takes it up within two seconds`)
        }
        done(refusal !== undefined || rules.refused > 0 ? EXIT.rules : news && dryRun ? EXIT.findings : EXIT.clean)
      })
    })
  return command
}

function describe({ bundle, by, at, rules }: ActiveRules): string {
  return `${bundle}: ${count(rules)}, activated by ${by} at ${formatTime(at)}`
}

function count({ detections, correlations, refused }: RuleSet): string {
  return `${detections.length + correlations.length} rules${refused === 0 ? '' : `, and ${refused} that do not load`}`
}

function errorsOf({ diagnostics }: RuleSet): string[] {
  return diagnostics.filter(({ severity }) => severity === 'error').flatMap(formatDiagnostic)
}

function changeLines({ added, removed, changed, restarted, outdated }: RuleChanges, io: Io): string[] {
  const line = (colour: 'green' | 'red' | 'yellow', word: string, title: string, id: string) =>
    `  ${io.style(colour, word)} ${title} (${id})`
  return [
    ...added.map(({ title, id }) => line('green', 'added  ', title, id)),
    ...removed.map(({ title, id }) => line('red', 'removed', title, id)),
    ...changed.flatMap(({ title, id, changes }) => [line('yellow', 'changed', title, id), ...changes.map((text) => `            ${text}`)]),
    ...restarted.map(
      ({ title, beside }) =>
        `  "${title}" has other parameters: its windows begin anew, and the old ones go on beside them for ${lasting(beside)}`,
    ),
    ...outdated.flatMap(({ title, id, verbs, changes }) => [
      `  the grant of ${verbs.join(', ')} to "${title}" will ask for approval: ${changes.join('; ')}`,
      `    renew it with: cordon policy grant ${id}`,
    ]),
  ]
}

/** `1 h 15 min`. */
function lasting(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1_000)
  const parts = [
    [Math.floor(seconds / 3_600), 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const
  return parts
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ')
}
