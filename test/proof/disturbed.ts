import { againstDefinition, unheard } from './definition.ts'
import { runThrough } from './finish.ts'
import { difference, outcomeOf, underWay, whole } from './outcome.ts'
import { type RecordPlan, readRecord } from './record.ts'
import type { Report, Say } from './report.ts'
import { proofRules } from './rules.ts'
import { RecordedSite, type Run, type Standing } from './site.ts'

/** What is done to a run over a recorded log. */
export interface Disturbance {
  readonly item: string
  /** What is told of the plan, beside the record's own numbers. */
  readonly plan: RecordPlan
  begin(site: RecordedSite): Promise<Run>
  /**
   * Runs it to its end, in spite of all. Resolves with how far it had come each time that something was done to it.
   *
   * @param seconds that it takes one member when nothing happens
   */
  disturb(run: Run, seconds: number): Promise<readonly Standing[]>
}

/** Holds a run to which things happen against one to which nothing does, and that one against the definition. */
export async function proveUndisturbed({ item, plan, begin, disturb }: Disturbance, say: Say): Promise<Report> {
  const rules = proofRules()
  const site = await RecordedSite.create(plan, rules)
  try {
    const quiet = await begin(site)
    say('loaded; the uninterrupted run begins')
    const seconds = await runThrough(quiet)
    const expected = await quiet.look(outcomeOf)
    say(`${expected.alerts.size} alerts in ${seconds} s; the other run begins`)
    const disturbed = await begin(site)
    const moments = await disturb(disturbed, seconds)
    const found = await disturbed.look(outcomeOf)
    const kept = await disturbed.kept?.()
    // Nothing can be under way before there is anything.
    const underway = moments.filter(({ stamp }) => stamp > 0).map(({ stamp }) => underWay(expected, stamp))
    const idle = moments.filter(({ left }) => left === 0)
    return {
      item,
      figures: {
        seed: plan.seed,
        events: plan.events,
        partitions: plan.partitions,
        disturbances: moments.length,
        alerts: expected.alerts.size,
        'alerts that are unknown': [...expected.alerts.values()].filter((alert) => alert.unknown !== undefined).length,
        revisions: found.revisions,
        ...(kept === undefined ? {} : { 'revisions kept': kept.revisions }),
        'least alerts under way at a disturbance': Math.min(...underway),
        'seconds, undisturbed': seconds,
      },
      differences: [
        ...idle.map(() => 'something was done when there was nothing left to do: take more events'),
        ...unheard(rules, expected),
        ...(await againstDefinition(readRecord(site.record), rules, expected)),
        ...difference(expected, found, whole),
        ...(kept === undefined ? [] : difference(expected, kept, whole).map((text) => `as it was kept, ${text}`)),
      ],
    }
  } finally {
    await site.remove()
  }
}
