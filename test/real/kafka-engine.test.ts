import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { LOGS } from '../../src/streams/log.ts'
import { bodies, closeAll, DEVICES, outcome, settle, uninterrupted, type World, world } from '../kits/fleet.ts'
import { administer, alterTopic } from '../kits/kafka-admin.ts'
import { filesBelow, leaks } from '../kits/planted.ts'
import { until } from '../kits/site.ts'
import { startKafka, USERS } from './servers/kafka.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('kafka', startKafka)
afterAll(() => server?.stop())
afterEach(closeAll)

const CORDON = join(resolve(import.meta.dirname, '../..'), 'bin', 'cordon.mjs')

const files = mkdtempSync(join(tmpdir(), 'cordon-secrets-'))
afterAll(() => rmSync(files, { recursive: true }))
writeFileSync(join(files, 'ca.crt'), server?.ca ?? '')
writeFileSync(join(files, 'password'), USERS.plain.password)
writeFileSync(join(files, 'wrong'), 'not the password')

const prefix = () => `site-${randomUUID().slice(0, 8)}.`

/** @param changes of what cordon.yml says of the streams */
const onKafka = (changes: object = {}) =>
  world({ streams: { kind: 'kafka', brokers: [server!.broker], prefix: prefix(), partitions: 3, ...changes } })

/** By TLS, as the user of PLAIN. */
const secured = (password: 'password' | 'wrong') => ({
  brokers: [server!.secured],
  tls: { ca: join(files, 'ca.crt') },
  sasl: { mechanism: 'plain', username: USERS.plain.username, password: { file: join(files, password) } },
})

/** Resolves when the health says something of the streams. */
async function says({ site }: World, text: string): Promise<void> {
  let said = ''
  await until(`the streams in health: ${text}`, 60, async () => {
    const health: unknown = await site.get('/health')
    const { checks } = health as { readonly checks: readonly { readonly name: string }[] }
    said = JSON.stringify(checks.find(({ name }) => name === 'streams'))
    return said.includes(text)
  }).catch((error: Error) => {
    throw new Error(`${error.message}\nbut: ${said}`)
  })
}

/** Resolves when a group waits for its members, to divide the partitions anew. */
const unsettled = (prefix: string) =>
  administer(server!.broker, (admin) =>
    until(`a group of ${prefix} is unsettled`, 60, async () => {
      const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(prefix))
      return (await admin.describeGroups(groups)).groups.some(({ state }) => state === 'PreparingRebalance')
    }),
  )

function cordon({ site }: World, ...args: string[]) {
  return promisify(execFile)(process.execPath, [CORDON, ...args, '--config', site.configPath])
}

describe.skipIf(server === undefined)(`the engine on Kafka 4.4.0${note}`, () => {
  const start = Date.now() - 200_000
  let embedded: Awaited<ReturnType<typeof outcome>>
  beforeAll(async () => {
    embedded = await uninterrupted(start)
    expect(embedded.alerts).toHaveLength(DEVICES.length)
  })

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

  test('what keeps it from Kafka is named, with its remedy: at start, and in the health of one that runs', async () => {
    const own = prefix()
    const given = await onKafka({ prefix: own })
    await cordon(given, 'topics')
    const starting = async (changes: object) => (await onKafka({ prefix: own, ...changes })).site.start()
    await expect(starting({ partitions: 8 })).rejects.toThrow(/STREAMS_PARTITIONS.*set streams\.partitions/s)
    await expect(starting({ brokers: ['127.0.0.1:9'] })).rejects.toThrow(/STREAMS_UNREACHABLE.*check streams\.brokers/s)
    await expect(starting(secured('wrong'))).rejects.toThrow(/STREAMS_CREDENTIALS.*check streams\.sasl/s)

    const keep = (time: string) => administer(server!.broker, (admin) => alterTopic(admin, `${own}events`, { 'retention.ms': time }))
    await given.site.start()
    await says(given, '"ok"')
    await keep('3600000')
    await says(given, `kafka-configs --alter --entity-type topics --entity-name ${own}events --add-config retention.ms=`)
    await expect(starting({})).rejects.toThrow(/STREAMS_RETENTION.*kafka-configs/s)
    await keep('-1')
    await says(given, '"ok"')
  })

  test('asked to stop before its group has settled, it stops', async () => {
    const own = prefix()
    const given = await onKafka({ prefix: own })
    await cordon(given, 'topics')
    const { site } = given
    const frozen = await site.member('frozen', 'correlate')
    frozen.process.kill('SIGSTOP')
    const configuration = { ...JSON.parse(readFileSync(site.configPath, 'utf8')), node: 'late', data: './data-late' }
    writeFileSync(join(site.folder, 'late.yml'), JSON.stringify(configuration))
    const arguments_ = ['run', '--config', join(site.folder, 'late.yml'), '--role', 'correlate']
    const late = spawn(process.execPath, [CORDON, ...arguments_], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    late.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
    const ended = once(late, 'exit')
    await unsettled(own)
    late.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
    expect(said).toMatch(/^stopped before it had started$/m)
  })

  test('it finds and contains the same through kill -9 of itself and of the broker, which then knows other passwords for a while', async () => {
    const given = await onKafka(secured('password'))
    await cordon(given, 'topics')
    const run = await given.site.start('alert-committed:2')
    const restarted = run.exited.then(() => given.site.start())
    const said: string[] = []
    const all = bodies(start)
    for (const body of all.slice(0, 9)) await given.site.send('/v1/events', body)
    expect(await Promise.race([run.exited.then(() => 'killed'), sleep(30_000, 'never killed')])).toBe('killed')
    const second = await restarted
    await server!.kill()
    const sending = (async () => {
      for (const body of all.slice(9)) await given.site.send('/v1/events', body)
    })()
    await says(given, 'no Kafka broker answers')
    await server!.start('another')
    await says(given, 'check streams.sasl')
    said.push(JSON.stringify(await given.site.get('/health')), (await cordon(given, 'doctor').catch((error) => error)).stdout)
    await server!.kill()
    await server!.start()
    await sending
    await settle(given)
    expect(await outcome(given)).toEqual(embedded)
    // S6: who Cordon is to the brokers stands in no file and is said by nobody, also while they refuse it.
    said.push(run.stderr(), second.stderr(), (await cordon(given, 'topics', '--check')).stdout)
    const password = [{ name: 'the password of Kafka', value: USERS.plain.password }]
    const written = [...filesBelow(given.site.folder), ...said.map((text) => ({ where: 'what was said', bytes: Buffer.from(text) }))]
    expect(said.join()).toContain('streams.sasl')
    expect(leaks(password, written)).toEqual([])
    expect(leaks(password, filesBelow(files))).toHaveLength(1)
  }, 300_000)
})
