import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { CordonError } from '../../src/event/error.ts'
import { Dispatcher } from '../../src/response/dispatcher.ts'
import { type Effect, effectId, NEVER, runKey, subjectOf } from '../../src/response/effect.ts'
import { alertOn, closeSites, FAULTS, quarantines, ruleWith, START, setUp, UNAUDITED } from '../../src/response/testbed.ts'
import { isLive } from '../../src/response/transitions.ts'
import { Elasticsearch } from '../../src/stores/elasticsearch/client.ts'
import { openElasticsearchLedger } from '../../src/stores/elasticsearch/ledger.ts'
import type { ElasticsearchSettings } from '../../src/stores/elasticsearch/settings.ts'
import type { Ledger } from '../../src/stores/ledger.ts'
import { effect, ledgerConformance } from '../kits/ledger.ts'
import { eachEffectOnce } from '../kits/response-lives.ts'
import { startElasticsearch } from './servers/elasticsearch.ts'
import { realOrSkip } from './servers/server.ts'

const { server, note } = await realOrSkip('Elasticsearch', startElasticsearch)
const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await closeSites()
  for (const close of closing.splice(0).reverse()) await close()
})
afterAll(() => server?.stop())

/** Indices of their own for each test. */
const settings = (prefix = `t${randomUUID().slice(0, 8)}-`): ElasticsearchSettings => ({ urls: [server!.url], prefix, compression: false })

function connect(own = settings(), Client = Elasticsearch): Elasticsearch {
  const store = new Client(own)
  closing.push(() => store.close())
  return store
}

function open(store = connect()): Ledger {
  const ledger = openElasticsearchLedger(store, 'node')
  closing.push(() => ledger.close())
  return ledger
}

const increment = (ledger: Ledger, meanwhile: () => Promise<unknown> = async () => {}) =>
  ledger.transaction(async (transaction) => {
    const guard = await transaction.guard()
    await meanwhile()
    await transaction.putGuard({ ...guard, version: guard.version + 1 })
    // A second document that must always say the same as the first.
    await transaction.putOffset('increments', 0, guard.version + 1)
  })

/** How often the ledger was incremented, and that no transaction was ever half done. */
const incremented = (ledger: Ledger) =>
  ledger.transaction(async (transaction) => {
    const { version } = await transaction.guard()
    expect(await transaction.offset('increments', 0)).toBe(version === 0 ? undefined : version)
    return version
  })

const ALERT = alertOn('d1', ruleWith())

describe.skipIf(server === undefined)(`on Elasticsearch 9.2.0${note}`, () => {
  const module = (name: string) => JSON.stringify(join(import.meta.dirname, '../../src/stores/elasticsearch', name))

  ledgerConformance('elasticsearch', async () => {
    const own = settings()
    const stores: Elasticsearch[] = []
    return {
      open: async () => {
        stores.push(new Elasticsearch(own))
        return openElasticsearchLedger(stores.at(-1)!, 'node')
      },
      opening: `
        const { Elasticsearch } = await import(${module('client.ts')})
        const { openElasticsearchLedger } = await import(${module('ledger.ts')})
        const ledger = openElasticsearchLedger(new Elasticsearch(${JSON.stringify(own)}), 'node')`,
      stop: async () => {
        for (const store of stores) await store.close()
      },
    }
  })

  describe('a commit', () => {
    /** A node that commits, and cannot apply what it commits as long as it is deaf. */
    class Stalling extends Elasticsearch {
      deaf = true
      override request<T>(...[what, send, limits]: Parameters<typeof Elasticsearch.prototype.request<T>>): Promise<T> {
        if (this.deaf && what.startsWith('applying')) throw new CordonError('STORE_UNREACHABLE', 'it stalls')
        return super.request(what, send, limits)
      }
    }

    const put = (ledger: Ledger, version: number) =>
      ledger.transaction(async (transaction) => {
        await transaction.putEffect(effect('e1', { version, dueAt: START + version }))
        await transaction.putOffset('c', 0, version)
      })

    test('whose node died before it was applied is what others read, write on and find', async () => {
      const own = settings()
      const dying = () => openElasticsearchLedger(connect(own, Stalling), 'node')
      await put(dying(), 1)
      expect(await open(connect(own)).effect('e1')).toMatchObject({ version: 1 })
      await put(dying(), 2)
      expect(await open(connect(own)).effects({ states: ['READY'], limit: 1 })).toMatchObject([{ version: 2 }])
      await put(dying(), 3)
      expect(await open(connect(own)).nextDue('mdm')).toBe(START + 3)
      await put(dying(), 4)
      await open(connect(own)).transaction(async (transaction) => {
        expect(await transaction.offset('c', 0)).toBe(4)
        await transaction.putEffect(effect('e1', { version: 5 }))
      })
      expect(await open(connect(own)).effect('e1')).toMatchObject({ version: 5 })
    })

    test('applied late takes nothing back', async () => {
      const own = settings()
      const store = connect(own, Stalling) as Stalling
      const zombie = open(store)
      await put(zombie, 1)
      const ledger = open(connect(own))
      for (const version of [2, 3]) await put(ledger, version)
      store.deaf = false
      expect(await zombie.effect('e1')).toMatchObject({ version: 3 })
      expect(await ledger.effect('e1')).toMatchObject({ version: 3 })
      expect(await ledger.offset('c', 0)).toBe(3)
    })

    test('that its own node could not apply is not lost under the next', async () => {
      const store = connect(settings(), Stalling) as Stalling
      const ledger = open(store)
      await put(ledger, 1)
      const next = ledger.transaction((transaction) => transaction.putOffset('another', 0, 1))
      await expect(next).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
      store.deaf = false
      await ledger.transaction((transaction) => transaction.putOffset('another', 0, 2))
      expect(await ledger.effect('e1')).toMatchObject({ version: 1 })
      expect([await ledger.offset('c', 0), await ledger.offset('another', 0)]).toEqual([1, 2])
    })

    test('whose answer got lost counts once', async () => {
      let losing: 'nothing' | 'one' | 'all' = 'nothing'
      let gone = false
      class Lossy extends Elasticsearch {
        override request<T>(...[what, send, limits]: Parameters<typeof Elasticsearch.prototype.request<T>>): Promise<T> {
          const lossy: typeof send = async (client, options) => {
            const answer = gone ? undefined : await send(client, options)
            if (answer !== undefined && (losing === 'nothing' || !what.startsWith('committing'))) return answer
            if (losing === 'all') gone = true
            losing = 'nothing'
            throw new CordonError('STORE_UNREACHABLE', 'the answer got lost')
          }
          return super.request(what, lossy, limits)
        }
      }
      const own = settings()
      const ledger = open(connect(own, Lossy))
      await increment(ledger)
      losing = 'one'
      await increment(ledger)
      expect(await incremented(ledger)).toBe(2)
      losing = 'all'
      await expect(increment(ledger)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
      gone = false
      // Nobody could tell; it was committed, and whoever comes next sees it.
      expect(await incremented(open(connect(own)))).toBe(3)
      expect(await incremented(ledger)).toBe(3)
    })
  })

  describe('several ledgers at once', () => {
    test('open one live effect of a subject, epoch after epoch, and lose nothing', async () => {
      const own = settings()
      const ledgers = [open(connect(own)), open(connect(own)), open(connect(own))]
      const subject = (device: string) => subjectOf(effect(device))
      let opened = 0
      const acts = {
        detect: (ledger: Ledger, device: string) =>
          ledger.transaction(async (transaction) => {
            const latest = await transaction.latestEffect(subject(device))
            if (latest !== undefined && isLive(latest)) return 0
            const epoch = (latest?.epoch ?? 0) + 1
            const target = { kind: 'device', id: device, facts: {} }
            await transaction.putEffect(effect(effectId(subject(device), epoch), { target, epoch }))
            return 1
          }),
        end: (ledger: Ledger, device: string) =>
          ledger.transaction(async (transaction) => {
            const latest = await transaction.latestEffect(subject(device))
            if (latest !== undefined && isLive(latest))
              await transaction.putEffect({ ...latest, version: latest.version + 1, state: 'REVERTED', dueAt: NEVER })
            return 0
          }),
      }
      const devices = ['d1', 'd2', 'd3']
      const round = fc.array(
        fc.record({
          by: fc.nat({ max: ledgers.length - 1 }),
          act: fc.constantFrom('detect' as const, 'detect' as const, 'end' as const),
          device: fc.constantFrom(...devices),
        }),
        { minLength: 4, maxLength: 10 },
      )
      for (const acting of fc.sample(round, { numRuns: 60, seed: 7 })) {
        const results = await Promise.all(acting.map(({ by, act, device }) => acts[act](ledgers[by]!, device)))
        for (const one of results) opened += one
        for (const ledger of ledgers) {
          const live = (await ledger.effects({ responder: 'mdm', due: START, limit: 100 })).map(({ target }) => target.id)
          expect(new Set(live).size).toBe(live.length)
        }
      }
      const all = await ledgers[0]!.effects({ limit: 10_000 })
      expect(all).toHaveLength(opened)
      expect(opened).toBeGreaterThan(30)
      for (const device of devices) {
        const epochs = all.filter(({ target }) => target.id === device).sort((a, b) => a.epoch - b.epoch)
        expect(epochs.map(({ epoch }) => epoch)).toEqual(epochs.map((_, at) => at + 1))
        expect(epochs.slice(0, -1).filter(isLive)).toEqual([])
      }
    })

    test('lose no change, and read none that is half done', async () => {
      const own = settings()
      const ledgers = [open(connect(own)), open(connect(own)), open(connect(own))]
      const reading = { on: true }
      const reader = (async () => {
        for (let last = 0; reading.on; ) {
          const now = await incremented(ledgers[2]!)
          expect(now).toBeGreaterThanOrEqual(last)
          last = now
        }
      })()
      await Promise.all(
        ledgers.slice(0, 2).map(async (ledger) => {
          for (let n = 0; n < 40; n++) await increment(ledger)
        }),
      )
      reading.on = false
      await reader
      expect(await incremented(ledgers[2]!)).toBe(80)
    })

    test('see what the others committed, also where they only read', async () => {
      const own = settings()
      const [one, other] = [open(connect(own)), open(connect(own))]
      for (let n = 1; n <= 5; n++) {
        await increment(n % 2 === 0 ? one : other)
        expect([await incremented(one), await incremented(other)]).toEqual([n, n])
      }
    })

    test('let the one come through whose transactions take long', async () => {
      const own = settings()
      const [busy, slow] = [open(connect(own)), open(connect(own))]
      const working = { on: true }
      const hammer = (async () => {
        for (let n = 0; ; n++) {
          if (!working.on) return n
          await increment(busy)
        }
      })()
      let attempts = 0
      for (let n = 0; n < 3; n++) {
        await increment(slow, async () => {
          attempts++
          await sleep(400)
        })
      }
      working.on = false
      const others = await hammer
      expect(await incremented(slow)).toBe(others + 3)
      expect(attempts).toBeLessThanOrEqual(3 * 6)
    })
  })

  describe('trouble', () => {
    test('the cluster gone: everything rejects by name and soon; when it is back, the same ledger goes on', async () => {
      const ledger = open()
      await increment(ledger)
      await ledger.transaction((transaction) => transaction.addAlert(ALERT))
      await server!.kill()
      const begun = Date.now()
      const attempts: readonly Promise<unknown>[] = [
        increment(ledger),
        ledger.effect('e'),
        ledger.alerts({ limit: 1 }),
        ledger.effects({ limit: 1 }),
        ledger.nextDue('mdm'),
        ledger.offset('c', 0),
        ledger.countEffects(),
        ledger.transaction((transaction) => transaction.addAlert({ ...ALERT, rev: 2 })),
      ]
      for (const { reason } of (await Promise.allSettled(attempts)) as PromiseRejectedResult[])
        expect(reason).toMatchObject({ code: 'STORE_UNREACHABLE', hint: expect.stringContaining('store.urls') })
      expect(await ledger.problem()).toMatchObject({ code: 'STORE_UNREACHABLE' })
      expect(Date.now() - begun).toBeLessThan(20_000)
      await server!.start()
      await again(() => increment(ledger))
      expect(await incremented(ledger)).toBe(2)
      expect(await ledger.problem()).toBeUndefined()
      expect(await ledger.alerts({ limit: 10 })).toEqual([ALERT])
    })

    test('an index that is read-only is named, and written to again when it is not', async () => {
      const store = connect()
      const ledger = open(store)
      await increment(ledger)
      const block = (on: boolean | null) =>
        store.request('blocking', (client, options) =>
          client.indices.putSettings({ index: `${store.prefix}ledger`, settings: { 'index.blocks.read_only_allow_delete': on } }, options),
        )
      await block(true)
      await expect(increment(ledger)).rejects.toMatchObject({ code: 'STORE_FLOOD_STAGE', hint: expect.stringContaining('free some space') })
      expect(await ledger.problem()).toMatchObject({ code: 'STORE_FLOOD_STAGE', message: expect.stringContaining(`${store.prefix}ledger`) })
      expect((await ledger.guard()).version).toBe(1)
      await block(null)
      await increment(ledger)
      expect(await ledger.problem()).toBeUndefined()
      expect(await incremented(ledger)).toBe(2)
    })

    test('an index that somebody else made, or shaped, is refused', async () => {
      const store = connect()
      const index = `${store.prefix}ledger`
      await store.request('making', (client, options) => client.indices.create({ index, settings: { number_of_shards: 2 } }, options))
      await expect(increment(open(store))).rejects.toMatchObject({ code: 'LEDGER_UNUSABLE', message: expect.stringContaining(index) })
      const other = connect()
      await other.request('making', (client, options) =>
        client.indices.create({ index: `${other.prefix}ledger`, mappings: { properties: { due: { type: 'ip' } } } }, options),
      )
      await expect(increment(open(other))).rejects.toMatchObject({ code: 'STORE_MAPPING', hint: expect.stringContaining('templates') })
    })

    test('an index that was deleted is made anew, empty', async () => {
      const store = connect()
      const ledger = open(store)
      await increment(ledger)
      await store.request('deleting', (client, options) => client.indices.delete({ index: `${store.prefix}ledger` }, options))
      await again(() => increment(ledger))
      expect(await incremented(ledger)).toBe(1)
    })
  })

  describe('response', () => {
    test.each([true, false])(
      'whatever fails or crashes: each effect once at the vendor, none lost (vendor honours keys: %s)',
      (honoursKeys) =>
        eachEffectOnce({
          honoursKeys,
          runs: Number(process.env.RESPONSE_RUNS ?? 3),
          open: () => {
            const own = settings()
            return () => open(connect(own))
          },
        }),
    )

    test('two dispatchers of two nodes share the work: each effect once at the vendor', async () => {
      const own = settings()
      const { site, rule, mdm } = setUp({ most: 1_000, tell: false, open: () => open(connect(own)) })
      const devices = Array.from({ length: 24 }, (_, n) => `d${n}`)
      mdm.faults = fc.sample(fc.constantFrom(...FAULTS), { numRuns: 40, seed: 3 })
      let others = 0
      const other = new Dispatcher({
        links: site.links,
        ledger: open(connect(own)),
        now: () => site.now,
        observe: (change) => {
          if (change.kind === 'effect' && change.effect.state === 'CONFIRMED') others++
        },
        owner: 'another node',
        policy: () => site.policy,
        fleet: () => ({ asset: (id) => ({ id }), person: () => undefined, size: 6_000, asOf: site.now }),
        approvalLinks: () => [],
        caseFiles: async () => [],
        ruleInForce: () => rule.hash,
        audit: UNAUDITED,
        random: () => 0.5,
        probe: () => {},
        onError: (error) => site.errors.push(error),
      })
      await site.alert(...devices.map((device) => alertOn(device, rule)))
      const left = async () => (await quarantines(site)).filter(({ state }) => state !== 'CONFIRMED')
      for (let rounds = 0; (await left()).length > 0; rounds++) {
        expect(rounds).toBeLessThan(100)
        await Promise.all([site.dispatcher.drain(), other.drain()])
        const due = await site.ledger.nextDue('mdm')
        if (due !== undefined) site.now = Math.max(site.now, due)
      }
      const effects: readonly Effect[] = await quarantines(site)
      expect(effects).toHaveLength(devices.length)
      expect(others).toBeGreaterThan(0)
      expect(others).toBeLessThan(devices.length)
      expect(mdm.acts.map(({ key }) => key).toSorted()).toEqual(effects.map(runKey).toSorted())
      expect(site.errors).toEqual([])
    })
  })
})

/** Tries until the store takes it. */
async function again(work: () => Promise<unknown>): Promise<void> {
  for (const end = Date.now() + 60_000; ; await sleep(200)) {
    try {
      await work()
      return
    } catch (error) {
      if (Date.now() > end) throw error
    }
  }
}
