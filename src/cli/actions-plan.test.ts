import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { dataPaths } from '../engine/data-folder.ts'
import type { EventRecord } from '../event/event.ts'
import { formatTime } from '../event/time.ts'
import { openEmbeddedStreams } from '../streams/embedded.ts'
import { main } from './main.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

const RULE = `title: Connects out
id: 11111111-2222-4333-8444-555555555555
logsource: { category: network_connection }
detection:
  selection: { event.action: connect }
  condition: selection
level: critical
x-cordon:
  mode: shadow
  entities: { device: device.id }
  response:
    - do: quarantine_device
      target: device
`

/** The data of a node whose devices all connect out, a second apart, and its command line. */
async function nodeWithEvents(devices: number, began: number) {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-plan-'))
  folders.push(folder)
  const at = (name: string) => join(folder, name)
  for (const name of ['rules', 'policy']) mkdirSync(at(name))
  writeFileSync(at('draft.yml'), RULE)
  const names = Array.from({ length: devices }, (_, n) => `d${n}`)
  const known = names.slice(1).map((id) => ({ id, name: id, protected: id === 'd1', mdm_id: `mdm-${id}` }))
  writeFileSync(at('inventory.json'), JSON.stringify({ devices: known }))
  writeFileSync(at('policy/limits.yml'), 'limits: [{ verb: quarantine_device, most: 10, per: 1h }]')
  writeFileSync(
    at('cordon.yml'),
    JSON.stringify({
      data: './data',
      rules: ['./rules'],
      policy: './policy',
      inventory: './inventory.json',
      responders: [
        {
          use: 'nanomdm-quarantine',
          url: 'https://mdm.example.internal',
          api_key: { env: 'NOT_SET_ANYWHERE' },
          webhook_key: { env: 'NOT_SET_ANYWHERE' },
          organization: 'Example',
        },
      ],
    }),
  )
  const streams = openEmbeddedStreams({ folder: dataPaths(at('data')).streams, partitions: 1 })
  const records = names.map((id, n): { key: string; value: EventRecord } => {
    const time = began + n * 1_000
    const ecs = { '@timestamp': formatTime(time), event: { action: 'connect' }, device: { id, mdm: { id: `mdm-${id}` } } }
    return {
      key: id,
      value: {
        kind: 'event',
        bundle: '',
        event: { id: `e${n}`, time, ingested: time, logsource: [{ category: 'network_connection' }], ecs },
      },
    }
  })
  await streams.append('events', records)
  await streams.close()
  const cordon = async (...words: string[]) => {
    const lines: string[] = []
    const say = (line: string) => void lines.push(line)
    const io = { out: say, err: say, terminal: true, style: (_: string, text: string) => text }
    const code = await main(['node', 'cordon', ...words, '--config', at('cordon.yml')], io)
    return { code, text: lines.join('\n') }
  }
  return { draft: at('draft.yml'), cordon }
}

test('a rule that is not in force, and not even among the rules, is told what it would have done', async () => {
  const began = Date.now() - 3_600_000
  const { draft, cordon } = await nodeWithEvents(15, began)
  const { code, text } = await cordon('actions', 'plan', '--rule', draft, '--over', '1d', '--format', 'json')
  expect(code, text).toBe(0)
  const plan = JSON.parse(text)
  expect(plan).toMatchObject({ events: 15, alerts: 15, today: [{ verb: 'quarantine_device', decision: 'recommend' }] })
  const outcomes = (wanted: string) => plan.would.filter(({ outcome }: { outcome: string }) => outcome === wanted).length
  expect([outcomes('done'), outcomes('protected'), outcomes('held')]).toEqual([10, 2, 3])
  expect(plan.limits).toEqual([
    { at: formatTime(began + 12_000), reason: 'the limit of 10 quarantine_device in one hour over the fleet is reached' },
  ])
  const people = await cordon('actions', 'plan', '--rule', draft, '--over', '1d')
  expect(people.text).toContain('HELD BY A LIMIT')
  expect((await cordon('actions', 'plan', '--rule', 'nothing of the kind')).text).toContain('RULE_UNKNOWN')
})
