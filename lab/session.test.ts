import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { freshSession } from './session.ts'

const stamps = (text: string) =>
  [...text.matchAll(/audit\((\d+\.\d{3}):(\d+)\)/g)].map(([, time, serial]) => ({ time: Number(time) * 1_000, serial }))
const recorded = stamps(readFileSync(join(import.meta.dirname, 'session', 'kernel-audit.log'), 'utf8'))
const kernel = ({ deliveries }: ReturnType<typeof freshSession>) => stamps(deliveries.map(({ body }) => body).join('\n'))
const NOW = Date.UTC(2031, 0, 1)

test('all records are there, in their order and with their intervals, from now on', () => {
  const played = kernel(freshSession(NOW))
  const intervals = (items: typeof recorded) => items.map(({ time }) => Math.round(time - items[0]!.time))
  expect(intervals(played)).toEqual(intervals(recorded))
  const { deliveries } = freshSession(NOW)
  expect(deliveries[0]!.at).toBeLessThan(NOW)
  expect(deliveries[1]!.at).toBe(NOW + 250)
  expect(deliveries.map(({ at }) => at)).toEqual(deliveries.map(({ at }) => at).toSorted((a, b) => a - b))
  expect(Math.max(...played.map(({ time }) => time))).toBe(deliveries.at(-1)!.at)
})

test('ids are new at each start, in both recordings', () => {
  const [one, other] = [freshSession(NOW), freshSession(NOW)]
  expect(kernel(one)[0]!.serial).not.toBe(kernel(other)[0]!.serial)
  const sessionOf = ({ deliveries }: typeof one) =>
    /"session\.id",\s*"value": \{\s*"stringValue": "([^"]+)"/.exec(deliveries.at(-1)!.body)![1]
  expect(sessionOf(one)).not.toBe(sessionOf(other))
})

test('telemetry is of the same moment as the kernel records', () => {
  const { body } = freshSession(NOW).deliveries.at(-1)!
  for (const [text] of body.matchAll(/20\d\d-\d\d-\d\dT[\d:.]+Z/g)) expect(Math.abs(Date.parse(text) - NOW)).toBeLessThan(10_000)
  for (const [, nanos] of body.matchAll(/"timeUnixNano": "(\d+)"/g)) expect(Math.abs(Number(nanos) / 1e6 - NOW)).toBeLessThan(10_000)
})
