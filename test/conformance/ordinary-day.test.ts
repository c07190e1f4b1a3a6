import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compileDetector } from '../../src/detectors/detector.ts'
import { ordinaryDay } from '../kits/benign-day/day.ts'
import { replayDay } from '../kits/benign-day/replay.ts'
import { shippedRules } from './rules-page.ts'

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'reference', 'rules.md'), 'utf8')
/** Titles of the rules of which the page says that they speak on an ordinary day. */
const expected = [...page.slice(page.indexOf('## An ordinary day')).matchAll(/^\| ([^|]+) \| (low|medium) \| [\d, ]+ \|$/gm)].map(
  ([, title]) => title!,
)
const detector = compileDetector(shippedRules())
const day = ordinaryDay({ people: 3, seed: 7, flows: 120, start: Date.UTC(2026, 10, 17) })

test('an ordinary day is read whole, sets off no rule of level high, and none but those that the page names', async () => {
  const { alerts, records, bad } = await replayDay(day, detector)
  expect(bad).toEqual([])
  const sources = [...new Set(day.deliveries.map(({ source }) => source))]
  expect([...records.keys()].toSorted()).toEqual(sources.toSorted())
  expect(alerts.filter(({ rule }) => rule.level === 'high' || rule.level === 'critical').map(({ rule }) => rule.title)).toEqual([])
  expect([...new Set(alerts.map(({ rule }) => rule.title))].filter((title) => !expected.includes(title))).toEqual([])
})

test('the same day is not ordinary if nobody asks the broker, or if an agent sends its sensitive files somewhere', async () => {
  const [first] = day.people
  const told = day.deliveries.find(
    ({ source, body }) => source === 'linux.auditd' && body.includes(`node=${first!.device} `) && body.includes('/usr/bin/bash'),
  )!
  const bash = /^.*SYSCALL=execve.*$/gm
  const shell = told.body.match(bash)!.find((line) => line.includes('exe="/usr/bin/bash"'))!
  const stamp = /msg=audit\([\d.]+:(\d+)\)/
  const next = (line: string, key: string, changes: readonly (readonly [RegExp, string])[]) =>
    changes.reduce(
      (text, [from, to]) => text.replace(from, to),
      line.replace(stamp, (part, serial: string) => part.replace(serial, key)),
    )
  const reads = next(shell, '900000001', [
    [/syscall=59/, 'syscall=257'],
    [/SYSCALL=execve/, 'SYSCALL=openat'],
    [/ a2=\w+/, ' a2=0'],
  ])
  const sends = next(shell, '900000002', [
    [/syscall=59/, 'syscall=42'],
    [/SYSCALL=execve/, 'SYSCALL=connect'],
  ])
  const stampOf = (line: string) => stamp.exec(line)![0]
  const host = `node=${first!.device}`
  const attack = [
    reads,
    `${host} type=PATH ${stampOf(reads)}: item=0 name="/sensitive/payroll.csv" nametype=NORMAL`,
    `${host} type=PROCTITLE ${stampOf(reads)}: proctitle="bash"`,
    sends,
    `${host} type=SOCKADDR ${stampOf(sends)}: saddr=02000050CB0071420000000000000000`,
    `${host} type=PROCTITLE ${stampOf(sends)}: proctitle="bash"`,
  ].join('\n')
  const deliveries = day.deliveries
    .filter(({ source }) => source !== 'broker')
    .flatMap((delivery) => (delivery === told ? [delivery, { ...delivery, body: attack }] : [delivery]))
  const { alerts } = await replayDay({ ...day, deliveries }, detector)
  expect(alerts.filter(({ rule }) => rule.level === 'high').map(({ rule, group }) => [rule.name, group])).toEqual([
    ['agent_sensitive_then_unlisted_egress', { 'device.id': first!.device, 'gen_ai.agent.name': 'gemini' }],
  ])
  expect(alerts.map(({ rule }) => rule.name)).toContain('agent_restricted_read_without_token')
})
