import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CorrelatingNode, memoryFolder } from '../../test/kits/signals.ts'
import { unitsOf } from '../detectors/correlation/units.ts'
import type { Progress, Signal } from '../detectors/signal.ts'
import { loadRuleSet } from '../sigma/load.ts'
import { EmbeddedStreams } from '../streams/embedded.ts'
import { groupChecks } from './checks.ts'
import { healthOf } from './health.ts'

const PARTITIONS = 2
let folder: string
let streams: EmbeddedStreams
beforeEach(() => {
  folder = memoryFolder()
  streams = new EmbeddedStreams({ folder: join(folder, 'streams'), partitions: PARTITIONS })
})
afterEach(async () => {
  await streams.close()
  rmSync(folder, { recursive: true })
})

describe('groups', () => {
  const pairs = (id: string, title: string, grace: string) => `---
title: ${title}
id: ${id}
correlation: {type: event_count, rules: [a], group-by: [user.name], timespan: 10s, condition: {gte: 2}}
x-cordon: {time: {grace: ${grace}}, groups: 2}
`
  const text = `title: a\nid: a\nname: a\nlogsource: {category: test}\ndetection: {s: {x: 1}, condition: s}
${pairs('short', 'Pairs soon', '30s')}${pairs('long', 'Pairs late', '70s')}`
  const rules = loadRuleSet([{ path: 'r.yml', text }])
  const units = new Map([...unitsOf(rules).values()].map(({ key, rule }) => [rule.id, key]))

  /** Of each user in turn, from a stamp on. */
  const signals = (rule: string, users: readonly string[], from: number) =>
    users.map((user, at): Signal => {
      const place = { eventId: `${rule} ${from} ${user}`, partition: 0, offset: from + at, depth: 0 }
      const time = { time: from + at, ingested: from + at }
      return { kind: 'signal', bundle: '', unit: units.get(rule)!, group: [user], refs: 1, facts: [], entities: [], ...place, ...time }
    })

  /** Signals as they lie in the partitions of their log; everything before a stamp has come then. */
  async function append(byPartition: readonly (readonly Signal[])[], clock: number): Promise<void> {
    const everything = (partition: number): Progress => ({ kind: 'progress', depth: 0, partition, offset: clock, ingested: clock })
    const records = byPartition.flatMap((own, partition) =>
      [...own, ...byPartition.map((_, events) => everything(events))].map((value) => ({ key: '', partition, value })),
    )
    await streams.append('signals', records)
  }

  test('rules that have no place for further groups are named, each once, until there is some again', async () => {
    const node = new CorrelatingNode(streams, join(folder, 'correlate'), { rules: { load: async () => {}, rulesOf: () => rules } })
    const inForce = { bundles: { active: () => '', rulesOf: () => rules } }
    const health = async (bundles = inForce) => {
      await node.run()
      return healthOf(groupChecks(node.worker, bundles))
    }
    // The one is full in both partitions, the other in one of them.
    const both = signals('long', ['ann', 'bob'], 1_000)
    await append([[...signals('short', ['ann', 'bob'], 1_000), ...signals('long', ['cid', 'dan'], 2_000)], both], 4_000)
    expect(await health()).toEqual({ status: 'ok', checks: [{ name: 'groups', status: 'ok' }] })

    await append([[], signals('long', ['mallory'], 12_000)], 13_000)
    // In force are others by now: their titles are not known any more.
    const others = { bundles: { active: () => '', rulesOf: () => loadRuleSet([]) } }
    for (const [bundles, names] of [
      [inForce, '"Pairs soon", "Pairs late"'],
      [others, '"short", "long"'],
    ] as const) {
      expect(await health(bundles)).toMatchObject({
        status: 'degraded',
        checks: [
          {
            name: 'groups',
            status: 'degraded',
            detail: `${names}: no place for further groups until 1970-01-01T00:01:19.999Z; what comes of them is not judged`,
            remedy: expect.stringContaining('x-cordon: groups'),
          },
        ],
      })
    }

    await append([[], []], 40_000)
    expect((await health()).checks[0]!.detail).toMatch(/^"Pairs late": /)
    await append([[], []], 80_000)
    expect(await health()).toMatchObject({ status: 'ok' })
    await node.close()
    expect(node.errors).toEqual([])
  })
})
