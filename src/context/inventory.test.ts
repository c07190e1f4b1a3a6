import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CordonError } from '../event/error.ts'
import { Inventory } from './inventory.ts'
import { matchesWildcard } from './wildcard.ts'

const TEXT = `devices:
  - id: laptop-7
    name: Ana-MacBook
    aliases: [ws-12, ws-12.corp.example]
    addresses: [10.4.0.21, 'fd00::21']
    mdm_id: UDID-7
    owner: ana
    groups: [finance]
  - id: laptop-8
    owner: bob
  - id: desktop-8
    owner: bob
    protected: true
users:
  - {id: ana, email: Ana@corp.example, name: Ana Example, aliases: [00u1example], groups: [finance]}
  - {id: bob, email: bob@corp.example}
labels:
  - {path: /sensitive/public/*, classification: public}
  - {path: /sensitive/*, classification: restricted}
`
const inventory = Inventory.parse(TEXT, 'inventory.yml', 1)

function problem(text: string): CordonError {
  try {
    Inventory.parse(text, 'inventory.yml', 0)
  } catch (error) {
    if (error instanceof CordonError) return error
  }
  throw new Error('it was accepted')
}

describe('an inventory', () => {
  it('knows a device by any of its names, whatever their case, and by address only where none is named', () => {
    const of = (ecs: Record<string, never> | object) => inventory.deviceFor(ecs as never, 1_000)
    for (const ecs of [
      { device: { id: 'laptop-7' } },
      { host: { name: 'WS-12' } },
      { host: { id: 'ana-macbook' } },
      { host: { hostname: 'ws-12.corp.example', ip: ['10.9.9.9'] } },
    ]) {
      expect(of(ecs)).toMatchObject({ device: { id: 'laptop-7' }, by: 'name' })
    }
    expect(of({ source: { ip: '::ffff:10.4.0.21' } })).toMatchObject({ device: { id: 'laptop-7' }, by: 'address' })
    expect(of({ host: { ip: ['1.1.1.1', 'FD00:0::21'] } })).toMatchObject({ device: { id: 'laptop-7' }, by: 'address' })
    expect(of({ host: { name: 'stranger' }, source: { ip: '10.4.0.21' } })).toBeUndefined()
    expect(of({})).toBeUndefined()
  })

  it("takes a user's only device for an agent's telemetry that names nothing but its user", () => {
    const of = (email: string, more = {}) => inventory.deviceFor({ user: { email }, gen_ai: { agent: { name: 'cowork' } }, ...more }, 0)
    expect(of('ana@corp.example')).toMatchObject({ device: { id: 'laptop-7' }, by: 'owner' })
    expect(of('bob@corp.example')).toBeUndefined()
    expect(of('ana@corp.example', { source: { ip: '198.51.100.1' } })).toBeUndefined()
    expect(inventory.deviceFor({ user: { email: 'ana@corp.example' } }, 0)).toBeUndefined()
  })

  it('gives an address to the device that had it at that time', () => {
    const leases = Inventory.parse(
      `devices:
  - {id: a, addresses: [{address: 10.0.0.1, until: '2026-09-01T12:00:00Z'}]}
  - {id: b, addresses: [{address: '::ffff:10.0.0.1', from: '2026-09-01T12:00:00Z', until: '2026-09-02T00:00:00Z'}]}`,
      'inventory.yml',
      0,
    )
    const at = (time: string) => leases.deviceFor({ source: { ip: '10.0.0.1' } }, Date.parse(time))?.device.id
    expect(['2026-09-01T11:59:59Z', '2026-09-01T12:00:00Z', '2026-09-02T00:00:00Z'].map(at)).toEqual(['a', 'b', undefined])
  })

  it('knows people by what their identity providers call them, and devices by their MDM id', () => {
    expect(inventory.userFor({ user: { id: '00U1EXAMPLE' } })?.id).toBe('ana')
    expect(inventory.deviceNamed('udid-7')?.id).toBe('laptop-7')
  })

  it('labels a path by the first pattern that fits', () => {
    expect(inventory.labels.classify('/sensitive/a/b.csv')).toBe('restricted')
    expect(inventory.labels.classify('/sensitive/public/b.csv')).toBe('public')
    expect(inventory.labels.classify('/other/sensitive/b.csv')).toBeUndefined()
  })

  it('is JSON too, and empty where there is nothing', () => {
    expect(Inventory.parse('{"devices":[{"id":"x"}]}', 'i.json', 0).deviceNamed('X')?.id).toBe('x')
    expect(Inventory.parse('', 'i.yml', 0).devices).toEqual([])
  })

  it.each([
    ['devices:\n  - id: a\n    protcted: true\n', 'INVENTORY_INVALID', 3],
    ['devices:\n  - id: a\n  - id: b\n    addresses: [10.0.0.300]\n', 'INVENTORY_INVALID', 4],
    ['devices:\n  - name: a\n', 'INVENTORY_INVALID', 2],
    ['devices: [\n', 'INVENTORY_YAML', 1],
    ['devices:\n  - {id: a, aliases: [x]}\n  - {id: b, name: X}\n', 'INVENTORY_DUPLICATE', 3],
    [
      'devices:\n  - {id: a, addresses: [10.0.0.1]}\n  - {id: b, addresses: [{address: 10.0.0.1, from: "2026-01-01"}]}\n',
      'INVENTORY_DUPLICATE',
      3,
    ],
    ['devices:\n  - id: a\n    addresses: [{address: 10.0.0.1, from: soon}]\n', 'INVENTORY_INVALID', 3],
    ['devices:\n  - {id: a, mdm_id: u}\n  - {id: b, mdm_id: U}\n', 'INVENTORY_DUPLICATE', 3],
    ['users:\n  - {id: a, email: b@x.example}\n  - {id: B@x.example}\n', 'INVENTORY_DUPLICATE', 3],
  ])('%j is refused with its place', (text, code, line) => {
    const error = problem(text)
    expect([error.code, error.where?.file]).toEqual([code, 'inventory.yml'])
    expect(Math.abs(error.where!.line - line)).toBeLessThanOrEqual(code === 'INVENTORY_YAML' ? 1 : 0)
    expect(error.hint).toBeTruthy()
  })
})

describe('a wildcard', () => {
  it('means what the regular expression of it means', () => {
    const piece = fc.constantFrom('a', 'b', '/', '*', '?', '.')
    fc.assert(
      fc.property(fc.array(piece), fc.array(fc.constantFrom('a', 'b', '/', '.', '\n')), (pattern, text) => {
        const source = pattern.map((part) => (part === '*' ? '[^]*' : part === '?' ? '[^]' : part.replace('.', '\\.'))).join('')
        expect(matchesWildcard(pattern.join(''), text.join(''))).toBe(new RegExp(`^${source}$`).test(text.join('')))
      }),
      { numRuns: 2_000 },
    )
  })

  it('takes no more time on a hostile text', () => {
    const start = performance.now()
    matchesWildcard(`${'*a'.repeat(30)}b`, 'a'.repeat(20_000))
    expect(performance.now() - start).toBeLessThan(500)
  })
})
