import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { LOGS } from '../../src/streams/log.ts'
import { bodies, closeAll, DEVICES, outcome, settle, uninterrupted, type World, world } from '../kits/fleet.ts'
import { startKafka } from './servers/kafka.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('kafka', startKafka)
afterAll(() => server?.stop())
afterEach(closeAll)

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')

const onKafka = () =>
  world({ streams: { kind: 'kafka', brokers: [server!.broker], prefix: `site-${randomUUID().slice(0, 8)}.`, partitions: 3 } })

function cordon({ site }: World, ...args: string[]) {
  return promisify(execFile)(process.execPath, [CORDON, ...args, '--config', site.configPath])
}

describe.skipIf(server === undefined)(`the engine on Kafka 4.4.0${note}`, () => {
  const start = Date.now() - 200_000
  let embedded: Awaited<ReturnType<typeof outcome>>
  beforeAll(async () => {
    embedded = await uninterrupted(start)
    expect(embedded.alerts).toHaveLength(DEVICES.length)
  }, 60_000)

  test('without topics it does not start, and says what to do', async () => {
    const fresh = await onKafka()
    await expect(fresh.site.start()).rejects.toThrow(/STREAMS_TOPIC_MISSING.*cordon topics/s)
    await expect(cordon(fresh, 'topics', '--check')).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringContaining('STREAMS_TOPIC_MISSING'),
    })
    expect((await cordon(fresh, 'topics')).stdout.match(/^created /gm)).toHaveLength(LOGS.length)
    expect((await cordon(fresh, 'topics', '--check')).stdout).toBe('')
  })

  test('it finds and contains what it does on the embedded logs', async () => {
    const given = await onKafka()
    await cordon(given, 'topics')
    await given.site.start()
    for (const body of bodies(start)) await given.site.send('/v1/events', body)
    await settle(given)
    expect(await outcome(given)).toEqual(embedded)
  })

  test('so it does through kill -9 of itself and of the broker', async () => {
    const given = await onKafka()
    await cordon(given, 'topics')
    const run = await given.site.start('alert-committed:2')
    const restarted = run.exited.then(() => given.site.start())
    const all = bodies(start)
    for (const body of all.slice(0, 9)) await given.site.send('/v1/events', body)
    expect(await Promise.race([run.exited.then(() => 'killed'), sleep(30_000, 'never killed')])).toBe('killed')
    await restarted
    await server!.kill()
    const sending = (async () => {
      for (const body of all.slice(9)) await given.site.send('/v1/events', body)
    })()
    await sleep(3_000)
    expect(await given.site.get('/health')).toMatchObject({ status: 'degraded' })
    await server!.start()
    await sending
    await settle(given)
    expect(await outcome(given)).toEqual(embedded)
  })
})
