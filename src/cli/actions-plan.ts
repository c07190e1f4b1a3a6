import { Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { type ActionPlan, planActions } from '../engine/offline/plan.ts'
import { momentOf } from '../engine/offline/replay-store.ts'
import { formatTime } from '../event/time.ts'
import type { Io } from './io.ts'
import { configOption, formatOption, type NodeOptions, wantsJson } from './node-options.ts'
import { table } from './table.ts'

type WouldBe = ActionPlan['would'][number]

/** What is done to the world; of what only tells people a count is enough. */
const TELLS = new Set(['notify', 'create_incident'])

export function actionsPlanCommand(io: Io): Command {
  return new Command('plan')
    .description('What a rule would have done to stored events, if it was in force and granted what it asks for. It can never act.')
    .requiredOption('--rule <rule>', 'id, name or title of a rule, or a file with one that is not among the rules yet')
    .option('--over <time>', 'so far back, such as 30d, or since 2026-03-01T10:00:00Z', '30d')
    .addOption(configOption())
    .addOption(formatOption())
    .action(async ({ rule, over, ...options }: NodeOptions & { rule: string; over: string }) => {
      const plan = await planActions(loadConfig(options.config), rule, momentOf(over, Date.now()))
      if (wantsJson(io, options)) io.out(JSON.stringify(planJson(plan)))
      else planText(plan, io)
    })
}

/** The contract that other tools read: docs/reference/cli.md. */
function planJson({ since, would, ...plan }: ActionPlan) {
  return {
    ...plan,
    since: formatTime(since),
    days: daysOf(would).map(({ day, counts }) => ({ day, ...counts })),
    limits: limitsOf(would).map(({ at, reason }) => ({ at: formatTime(at), reason })),
    would: would.map(({ at, ...one }) => ({ at: formatTime(at), ...one })),
  }
}

function planText({ rule, since, events, alerts, today, would }: ActionPlan, io: Io): void {
  io.out(`${io.style('bold', rule.title)}  ${events} events since ${formatTime(since)}, ${alerts} alerts`)
  for (const { verb, decision, reason } of today) io.out(`  as things are, ${verb}: ${decision} (${reason})`)
  io.out('If it was in force and granted what it asks for:')
  const acts = would.filter(({ verb }) => !TELLS.has(verb))
  const rows = daysOf(acts).map(({ day, counts }) => [day, ...COLUMNS.map(([outcome]) => String(counts[outcome]))])
  io.out(...table(['DAY', ...COLUMNS.map(([, title]) => title)], rows, '  nothing would have been done'))
  for (const { at, reason } of limitsOf(acts)) io.out(`${formatTime(at)}  ${reason}`)
  for (const { at, outcome, verb, target, reason } of acts) {
    const why = outcome === 'done' ? '' : ` (${reason})`
    io.out(`  ${formatTime(at)}  ${outcome.padEnd(11)} ${verb} ${target}${why}`)
  }
  io.out(`People would have been told ${would.filter(({ verb, outcome }) => TELLS.has(verb) && outcome === 'done').length} times.`)
}

const COLUMNS = [
  ['done', 'DONE'],
  ['protected', 'PROTECTED'],
  ['held', 'HELD BY A LIMIT'],
  ['approval', 'WAITING FOR APPROVAL'],
  ['ended', 'ENDED'],
  ['recommended', 'RECOMMENDED ONLY'],
] as const

type Counts = Record<(typeof COLUMNS)[number][0], number>

function daysOf(would: readonly WouldBe[]): readonly { readonly day: string; readonly counts: Counts }[] {
  const days = Map.groupBy(would, ({ at }) => formatTime(at).slice(0, 10))
  return [...days].map(([day, all]) => {
    const counts = COLUMNS.map(([outcome]) => [outcome, all.filter((one) => one.outcome === outcome).length])
    return { day, counts: Object.fromEntries(counts) as Counts }
  })
}

/** When each limit was reached: the first that it held back, once a day. */
function limitsOf(would: readonly WouldBe[]): readonly WouldBe[] {
  const held = Map.groupBy(
    would.filter(({ outcome }) => outcome === 'held'),
    ({ at, reason }) => `${formatTime(at).slice(0, 10)} ${reason}`,
  )
  return [...held.values()].map(([first]) => first!)
}
