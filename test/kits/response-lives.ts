import fc from 'fast-check'
import { expect } from 'vitest'
import { messageOf } from '../../src/event/error.ts'
import { runKey, undoKey } from '../../src/response/effect.ts'
import { requestUndo, startActions, stopActions } from '../../src/response/operator.ts'
import { CRASH_POINTS } from '../../src/response/runner.ts'
import {
  alertOn,
  closeSites,
  FAULTS,
  type FakeVendor,
  HOUR,
  type OpenLedger,
  quarantines,
  type Site,
  setUp,
} from '../../src/response/testbed.ts'
import { isLive } from '../../src/response/transitions.ts'

const DEVICES = ['d0', 'd1', 'd2', 'd3']

/** One thing that happens in the life of a site. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('alert' as const), device: fc.constantFrom(...DEVICES) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.integer({ min: 0, max: 120 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('fault' as const), fault: fc.constantFrom(...FAULTS) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('crash' as const), point: fc.constantFrom(...CRASH_POINTS) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('undo' as const), device: fc.constantFrom(...DEVICES) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('touch' as const), device: fc.constantFrom(...DEVICES) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('blind' as const), on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('kill' as const), on: fc.boolean() }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Lives through the steps, then lets everything work again and time pass. Answers the devices that must be in quarantine in the end. */
async function live(steps: readonly Step[], { site, rule, mdm }: ReturnType<typeof setUp>): Promise<ReadonlySet<string>> {
  const wanted = new Set<string>()
  for (const [index, action] of steps.entries()) {
    switch (action.do) {
      case 'alert':
        await site.alert(alertOn(action.device, rule, { key: String(index) }))
        wanted.add(action.device)
        break
      case 'pass':
        await site.passTo(site.now + action.seconds * 1_000)
        break
      case 'fault':
        mdm.faults.push(action.fault)
        break
      case 'crash':
        site.crashAt = action.point
        break
      case 'blind':
        mdm.blind = action.on
        break
      case 'touch':
        mdm.touched.add(action.device)
        break
      case 'kill':
        await (action.on ? stopActions(site.ports, 'op', 'test') : startActions(site.ports, 'op'))
        break
      case 'undo':
        if (await undo(site, action.device)) wanted.delete(action.device)
    }
  }
  site.crashAt = undefined
  mdm.faults = []
  mdm.blind = false
  await startActions(site.ports, 'op')
  await site.passTo(site.now + 6 * HOUR)
  return wanted
}

/** Undoes what was sent to the device, as an operator would; false where nothing was. */
async function undo(site: Site, device: string): Promise<boolean> {
  const newest = (await quarantines(site)).filter(({ target }) => target.id === device).sort((a, b) => b.epoch - a.epoch)[0]
  if (newest === undefined || newest.attempts === 0 || !isLive(newest)) return false
  await requestUndo(site.ports, newest.id, 'op', 'test')
  return true
}

const count = (mdm: FakeVendor, wanted: 'do' | 'undo', id: string) => mdm.acts.filter(({ key, act }) => act === wanted && key === id).length

/**
 * Whatever fails or crashes in the life of a site: each effect once at the vendor, none lost.
 *
 * @param options.runs how many lives
 * @param options.open the ledger of one, if it is another than the embedded one
 */
export async function eachEffectOnce(options: { readonly honoursKeys: boolean; readonly runs: number; readonly open?: () => OpenLedger }) {
  const lives = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
    const { honoursKeys, open } = options
    const kit = setUp({ honoursKeys, most: 1_000, ...(open === undefined ? {} : { open: open() }) })
    const wanted = await live(steps, kit)
    for (const effect of await quarantines(kit.site)) {
      const [done, undone] = [count(kit.mdm, 'do', runKey(effect)), count(kit.mdm, 'undo', undoKey(effect))]
      const story = `${effect.state} (${effect.reason}), done ${done}, undone ${undone}`
      // An undo that meets what somebody else has touched fails; where it was never confirmed, nobody knows whose it was.
      const given = kit.mdm.touched.has(effect.target.id) ? ['DEAD 1 0', 'DEAD 0 0'] : []
      const ends = ['CONFIRMED 1 0', 'REVERTED 1 1', 'REVERTED 0 0', 'REJECTED 0 0', ...given]
      expect(ends, story).toContain(`${effect.state} ${done} ${undone}`)
    }
    // What somebody else has touched is theirs: Cordon may have lifted its own before, and never since.
    for (const device of DEVICES) if (!kit.mdm.touched.has(device)) expect(kit.mdm.inForce(device), device).toBe(wanted.has(device))
    expect(kit.mdm.trespasses).toEqual([])
    expect(kit.site.errors.map(messageOf)).toEqual([])
    await closeSites()
  })
  await fc.assert(lives, {
    numRuns: options.runs,
    examples: [
      // Undone while its request, which the vendor acts on late, is still under way.
      [
        [
          { do: 'alert', device: 'd2' },
          { do: 'fault', fault: 'late' },
          { do: 'pass', seconds: 0 },
          { do: 'undo', device: 'd2' },
          { do: 'pass', seconds: 0 },
          { do: 'alert', device: 'd0' },
        ],
      ],
    ],
  })
}
