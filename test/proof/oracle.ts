import type { Signal } from '../../src/detectors/signal.ts'
import { unitKey } from '../../src/detectors/unit.ts'
import { identity } from '../../src/event/id.ts'
import { getText } from '../../src/event/json.ts'
import type { Bundle } from '../../src/sigma/bundle.ts'
import { loadRuleSet } from '../../src/sigma/load.ts'
import { oracleAlerts } from '../property/correlation-oracle.ts'
import type { RecordedEntry } from './record.ts'

/** Ids of the alerts of a recorded log, by the definitions and all of its signals in memory. */
export async function oracleIds(entries: AsyncIterable<RecordedEntry>, bundle: Bundle): Promise<ReadonlySet<string>> {
  const rules = loadRuleSet(bundle.files)
  const actions = new Map(rules.detections.map(({ id, name }) => [name!.replace('_', '-'), id]))
  const signals = new Map<string, Signal[]>(rules.correlations.map(({ id }) => [id, []]))
  const singles = new Set<string>()
  const silent = new Set(rules.detections.filter((rule) => rule.silent).map(({ id }) => id))
  const offsets = new Map<number, number>()
  for await (const { partition, stamp, value } of entries) {
    const offset = offsets.get(partition) ?? 0
    offsets.set(partition, offset + 1)
    if (value.kind !== 'event') continue
    const { id, time, ecs } = value.event
    const met = actions.get(getText(ecs, 'event.action')!)
    if (met === undefined) continue
    if (!silent.has(met)) singles.add(identity('alert', met, '', '', String(time), id))
    for (const rule of rules.correlations) {
      const at = rule.rules.indexOf(met)
      if (at < 0) continue
      const host = getText(ecs, 'destination.ip')
      signals.get(rule.id)!.push({
        kind: 'signal',
        bundle: value.bundle,
        unit: rule.id,
        group: rule.groupBy.map((field) => getText(ecs, field)!),
        eventId: id,
        time,
        ingested: stamp,
        depth: 0,
        partition,
        offset,
        refs: 1 << at,
        ...(host === undefined ? {} : { value: host }),
        facts: [],
        entities: [],
      })
    }
  }
  const correlation = (id: string) => rules.correlations.find((rule) => rule.id === id)
  const found = rules.correlations.flatMap((rule) =>
    oracleAlerts(rule, signals.get(rule.id)!).map(({ group, anchor, time }) =>
      identity('alert', rule.id, unitKey(rule, correlation), ...group.split('\u0000'), String(time), anchor),
    ),
  )
  return new Set([...singles, ...found])
}
