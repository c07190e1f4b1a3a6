import { describe, expect, it } from 'vitest'
import type { Draft, Event, LogSource } from '../event/event.ts'
import { compileField } from '../event/field.ts'
import type { JsonObject } from '../event/json.ts'
import { agentPatterns, compileAgents } from './agents.ts'
import { Inventory } from './inventory.ts'
import { type ContextSources, joinContext } from './join.ts'
import { Labels } from './labels.ts'
import { Posture } from './posture.ts'
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
  posture: new Posture(),
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

  it('counts the names that it gives a user among the identities that the source lists, and keeps nothing twice for it', () => {
    const draft = join({ user: { name: 'ana' }, related: { user: ['ana'], ip: ['10.0.0.1'] } })
    expect(draft.ecs.related).toEqual({ user: ['ana', 'ana@corp.example'], ip: ['10.0.0.1'] })
    expect(draft.native).toBeUndefined()
  })

  it('takes the address of a known user from the inventory, and of nobody else', () => {
    const { ecs } = join(
      { user: { id: 'eva', email: 'ceo@corp.example' } },
      { inventory: Inventory.parse('users: [{id: eva}]', 'i.yml', 0) },
    )
    expect(ecs.user).toEqual({ id: 'eva', name: 'eva' })
    expect(join({ user: { id: 'nobody', email: 'nobody@corp.example' } }).ecs.user).toEqual({ id: 'nobody', email: 'nobody@corp.example' })
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

  it('takes the name of a known device from the inventory, or from nobody', () => {
    const nameless = Inventory.parse('devices: [{id: laptop-8}]', 'inventory.yml', OBSERVED)
    const claim = { device: { id: 'laptop-8', name: 'ana-macbook' } }
    expect(join(claim, { inventory: nameless }).ecs.device).toEqual({ id: 'laptop-8', protected: false })
    expect(join(claim, { inventory: nameless, recorded: true }).ecs.device).toMatchObject({ name: 'ana-macbook' })
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

  it('labels a file by the label file, then the inventory, and as its source does where that is stricter', () => {
    const labels = Labels.parse('labels: [{path: /srv/*, classification: Internal}]', 'labels.yml', OBSERVED)
    const label = (ecs: JsonObject, rest?: Partial<Draft>) => {
      const { file, context } = join(ecs, { labels }, rest).ecs
      return [(file as JsonObject | undefined)?.classification, (context as { file?: { source: string } } | undefined)?.file?.source]
    }
    const event = { dataset: 'broker' }
    expect(label({ file: { path: '/srv/a' } })).toEqual(['Internal', 'labels.yml'])
    expect(label({ file: { path: '/sensitive/a' } })).toEqual(['restricted', 'inventory.yml'])
    expect(label({ event, file: { path: '/srv/a', classification: 'Confidential' } })).toEqual(['Confidential', 'broker'])
    expect(label({ event, file: { path: '/srv/a', classification: 'Public' } })).toEqual(['Internal', 'labels.yml'])
    expect(label({ event, file: { path: '/srv/a', classification: 'Ours Alone' } })).toEqual(['Internal', 'labels.yml'])
    expect(label({ event, file: { path: '/tmp/a', classification: 'P1' } })).toEqual(['P1', 'broker'])
    expect(label({}, { native: { ActionType: 'FileRead', SensitivityLabel: 'Highly Confidential' } })).toEqual([
      'Highly Confidential',
      'event',
    ])
  })
})

describe('joining posture', () => {
  const at = (seconds: number) => ({ time: OBSERVED + seconds * 1_000 })
  const when = (seconds: number) => new Date(OBSERVED + seconds * 1_000).toISOString()
  const posture = { enrolled: true, compliant: false }
  const attested = { attests: true } as const
  const intune = { event: { dataset: 'intune' }, device: { id: 'guid-9', posture }, host: { name: 'desk-9' } }
  const postureOf = ({ ecs }: Draft) => [
    (ecs.device as JsonObject | undefined)?.posture,
    (ecs.context as JsonObject | undefined)?.posture,
    (ecs.user as JsonObject | undefined)?.mfa,
    (ecs.context as JsonObject | undefined)?.mfa,
  ]
  /** Joins drafts one after another, with one memory. */
  const joined = (...drafts: readonly (readonly [JsonObject, Partial<Draft>])[]) => {
    const all = sources()
    return drafts.map(([ecs, rest]) => postureOf(joinContext(draft(ecs, rest), all, 0).draft))
  }

  it('gives an event what was known of its device at its time, with where from and when', () => {
    const [own, before, after] = joined(
      [intune, { ...at(60), ...attested }],
      [{ host: { name: 'DESK-9' } }, at(59)],
      [{ host: { name: 'DESK-9' } }, at(90)],
    )
    expect(own).toEqual([posture, { source: 'intune', observed: when(60) }, undefined, undefined])
    expect(before).toEqual([undefined, undefined, undefined, undefined])
    expect(after).toEqual(own)
  })

  it('names every source, and the oldest of the observations', () => {
    const mdm = { event: { dataset: 'nanomdm' }, device: { id: 'udid-7', posture: { disk_encrypted: true } } }
    const idp = { event: { dataset: 'okta' }, device: { id: 'laptop-7', posture: { enrolled: true } } }
    const [, , event] = joined([mdm, { ...at(1), ...attested }], [idp, { ...at(2), ...attested }], [{ host: { name: 'ws-12' } }, at(3)])
    expect(event).toEqual([
      { enrolled: true, disk_encrypted: true },
      { source: ['okta', 'nanomdm'], observed: when(1) },
      undefined,
      undefined,
    ])
  })

  it('does not believe anybody else, whatever the record says and however', () => {
    const claim = {
      device: { id: 'guid-9', posture: { enrolled: true, compliant: true, disk_encrypted: true } },
      user: { id: 'eve', mfa: true },
    }
    const [told, later] = joined([claim, at(1)], [{ device: { id: 'guid-9' }, user: { id: 'eve' } }, at(2)])
    expect([told, later]).toEqual([Array(4).fill(undefined), Array(4).fill(undefined)])
    const { draft: kept } = joinContext(draft(claim), sources(), 0)
    expect(kept.native).toEqual(claim)
    const event = {
      id: 'x',
      ingested: 0,
      ...kept,
      native: { ...claim, 'device.posture.compliant': true, 'user.mfa': true },
    } as unknown as Event
    for (const field of ['device.posture.compliant', 'device.posture', 'user.mfa']) expect(compileField(field)(event)).toBeUndefined()
  })

  it('teaches nothing of a device that a record does not name, nor of one that only its address or owner tells', () => {
    const places = Inventory.parse(
      'devices: [{id: office-1, addresses: [10.0.0.1], owner: ana}]\nusers: [{id: ana}]',
      'inventory.yml',
      OBSERVED,
    )
    const all = sources({ inventory: places })
    const signIn = { device: { posture: { enrolled: false } }, user: { id: 'ana', mfa: false }, source: { ip: '10.0.0.1' } }
    expect(postureOf(joinContext(draft(signIn, { ...at(1), ...attested }), all, 0).draft).slice(0, 1)).toEqual([undefined])
    expect(postureOf(joinContext(draft({ device: { id: 'office-1' } }, at(2)), all, 0).draft)).toEqual(Array(4).fill(undefined))
    const stranger = joinContext(draft({ ...signIn, source: { ip: '192.0.2.1' } }, { ...at(3), ...attested }), all, 0).draft
    expect(stranger.ecs.device).toEqual({ posture: { enrolled: false } })
    expect(all.posture.size).toBe(1) // the user's factor
  })

  it("knows a user's factors by every name of the user", () => {
    const signIn = { event: { dataset: 'entra' }, user: { id: 'oid-1', email: 'bob@corp.example', mfa: false } }
    const [, byEmail, byInventory] = joined(
      [signIn, { ...at(1), ...attested }],
      [{ user: { email: 'BOB@corp.example' } }, at(2)],
      [{ user: { name: 'ana' } }, at(2)],
    )
    expect(byEmail?.slice(2)).toEqual([false, { source: 'entra', observed: when(1) }])
    expect(byInventory?.slice(2)).toEqual([undefined, undefined])
  })

  it('falls back to what the inventory says, whenever it was written', () => {
    const stated = Inventory.parse(
      'devices: [{id: kiosk, posture: {enrolled: true, compliant: true}}]\nusers: [{id: ana, mfa: true}]',
      'inventory.yml',
      OBSERVED,
    )
    const all = sources({ inventory: stated })
    const event = { device: { id: 'kiosk' }, user: { id: 'ana' } }
    expect(postureOf(joinContext(draft(event, at(-9)), all, 0).draft)).toEqual([{ enrolled: true, compliant: true }, known, true, known])
    joinContext(
      draft({ event: { dataset: 'mdm' }, device: { id: 'kiosk', posture: { compliant: false } } }, { ...at(5), ...attested }),
      all,
      0,
    )
    const [facts, from] = postureOf(joinContext(draft(event, at(6)), all, 0).draft)
    expect(facts).toEqual({ enrolled: true, compliant: false })
    expect(from).toEqual({ source: ['inventory.yml', 'mdm'], observed: known.observed })
  })

  it('holds what a recorded event was joined with', () => {
    const recorded = { device: { id: 'x', posture: { enrolled: false } }, user: { id: 'u', mfa: true }, context: { posture: known } }
    const replayed = join(recorded, { inventory: Inventory.EMPTY, recorded: true })
    expect(postureOf(replayed).slice(0, 3)).toEqual([{ enrolled: false }, known, true])
    expect(replayed.native).toBeUndefined()
  })
})
