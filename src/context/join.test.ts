import { describe, expect, it } from 'vitest'
import type { Draft, LogSource } from '../event/event.ts'
import type { JsonObject } from '../event/json.ts'
import { agentPatterns, compileAgents } from './agents.ts'
import { Inventory } from './inventory.ts'
import { type ContextSources, joinContext } from './join.ts'
import { ProcessTree } from './process-tree.ts'

const OBSERVED = Date.parse('2026-09-01T00:00:00Z')
const inventory = Inventory.parse(
  `devices:
  - {id: laptop-7, name: ana-macbook, aliases: [ws-12], mdm_id: UDID-7, owner: ana, groups: [finance]}
users:
  - {id: ana, email: ana@corp.example, name: Ana Example, groups: [finance]}
labels:
  - {path: /sensitive/*, classification: restricted}
`,
  'inventory.yml',
  OBSERVED,
)
const sources = (more: Partial<ContextSources> = {}): ContextSources => ({
  inventory,
  tree: new ProcessTree(compileAgents(agentPatterns(['gemini']))),
  ...more,
})
const draft = (ecs: JsonObject, more: Partial<Draft> = {}): Draft => ({ time: OBSERVED + 5_000, logsource: [], ecs, ...more })
const join = (ecs: JsonObject, more?: Partial<ContextSources>, rest?: Partial<Draft>) =>
  joinContext(draft(ecs, rest), sources(more), 0).draft
const known = { source: 'inventory.yml', observed: '2026-09-01T00:00:00.000Z' }

describe('joining context', () => {
  it('writes what the inventory knows of device, user and file, and where it is from', () => {
    const before = { host: { name: 'WS-12' }, user: { name: 'ana' }, file: { path: '/sensitive/a.csv' } }
    const copy = structuredClone(before)
    expect(join(before).ecs).toEqual({
      host: { name: 'WS-12' },
      device: { id: 'laptop-7', name: 'ana-macbook', mdm: { id: 'UDID-7' }, owner: 'ana', groups: ['finance'], protected: false },
      user: { id: 'ana', name: 'ana', email: 'ana@corp.example', full_name: 'Ana Example', groups: ['finance'] },
      file: { path: '/sensitive/a.csv', classification: 'restricted' },
      context: { device: known, user: known, file: known },
    })
    expect(before).toEqual(copy)
  })

  it("gives an unknown device its id, from the event or the source's configuration, and nothing else", () => {
    const device = (ecs: JsonObject, configured?: string) => {
      const { ecs: joined } = join(ecs, configured === undefined ? {} : { device: configured })
      return [joined.device, (joined.context as { device?: { source: string } } | undefined)?.device?.source]
    }
    expect(device({ host: { id: 'h-1', name: 'x' } })).toEqual([{ id: 'h-1' }, 'host.id'])
    expect(device({ host: { name: 'x' } })).toEqual([{ id: 'x' }, 'host.name'])
    expect(device({}, 'kiosk-1')).toEqual([{ id: 'kiosk-1' }, 'configuration'])
    expect(device({ host: { name: 'x' } }, 'kiosk-1')).toEqual([{ id: 'x' }, 'host.name'])
    expect(device({}, 'ws-12')[0]).toMatchObject({ id: 'laptop-7', mdm: { id: 'UDID-7' } })
    expect(device({})).toEqual([undefined, undefined])
  })

  it('does not believe a sender what only Cordon states, and keeps the event as it was sent', () => {
    const claims = {
      device: { id: 'x', mdm: { id: 'UDID-OF-ANOTHER' }, protected: false, owner: 'ceo', groups: ['g'], type: 'laptop' },
      context: { device: { source: 'me' } },
    }
    const unknown = join(claims)
    expect(unknown.ecs.device).toEqual({ id: 'x', type: 'laptop' })
    expect(unknown.native).toEqual(claims)
    expect(unknown.ecs.context).not.toMatchObject({ device: { source: 'me' } })
    const of7 = join({ device: { ...claims.device, id: 'laptop-7' } })
    expect(of7.ecs.device).toMatchObject({ mdm: { id: 'UDID-7' }, owner: 'ana', protected: false })
    expect(join({ context: { device: { source: 'me' } } }).ecs.context).toBeUndefined()
  })

  it('holds what a recorded event was joined with', () => {
    const recorded = {
      device: { id: 'x', mdm: { id: 'UDID-X' }, protected: true },
      context: { device: { source: 'inventory.yml', observed: '2026-01-01T00:00:00.000Z' }, user: known },
    }
    const joined = join(recorded, { inventory: Inventory.EMPTY, recorded: true })
    expect(joined.ecs.device).toEqual(recorded.device)
    expect(joined.ecs.context).toMatchObject({ user: known, device: recorded.context.device })
    expect(joined.native).toBeUndefined()
  })

  it("keeps the vendor's record where there is one", () => {
    const native = { a: 1 }
    expect(join({ device: { owner: 'x' } }, {}, { native }).native).toBe(native)
    expect(join({ a: 1 }).native).toBeUndefined()
  })

  it('names agents by their ancestry, and finds their acts under ai_agent', () => {
    const all = sources()
    const network: LogSource = { product: 'linux', category: 'network_connection', service: 'auditd' }
    const agent = { executable: '/usr/bin/node', args: ['node', '/opt/gemini.js'] }
    const first = joinContext(draft({ host: { name: 'ws-12' }, process: { pid: 5, ...agent } }), all, 0)
    expect(first.changes).toMatchObject([{ device: 'laptop-7', pid: 5, agent: 'gemini' }])
    const { draft: child } = joinContext(
      draft({ device: { id: 'laptop-7' }, process: { pid: 6, executable: '/usr/bin/curl', parent: { pid: 5 } } }, { logsource: [network] }),
      all,
      0,
    )
    expect(child.ecs.gen_ai).toEqual({ agent: { name: 'gemini' } })
    expect(child.logsource).toEqual([network, { product: 'ai_agent', category: 'network_connection' }])
    expect(child.ecs.context).toMatchObject({ process: { source: 'process-tree', observed: '2026-09-01T00:00:05.000Z' } })
  })

  it('labels an event whose act touched several files by one that has a label', () => {
    expect(join({ file: { path: ['/tmp/a', '/sensitive/b'] } }).ecs.file).toEqual({
      path: ['/tmp/a', '/sensitive/b'],
      classification: 'restricted',
    })
  })
})
