import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { alertOn, FakeVendor, grantFor, policyWith, ruleWith, Site, START } from '../response/testbed.ts'
import { main } from './main.ts'

const sites: Site[] = []
afterEach(async () => {
  for (const site of sites.splice(0)) await site.close()
})

/** A node whose rule quarantines, locks (which nothing can) and tells, and its command line. */
async function nodeWithAnIncident() {
  const rule = ruleWith({
    response: [{ do: 'create_incident' }, { do: 'quarantine_device' }, { do: 'lock_device', target: 'device' }, { do: 'notify' }],
  })
  const vendor = new FakeVendor(() => START, true)
  const links = [
    vendor.link('mdm', 'quarantine_device', 'device'),
    vendor.link('desk', 'create_incident', 'incident', { effect: 'record' }),
  ]
  const site = new Site(links, rule, policyWith([grantFor(rule)]))
  sites.push(site)
  writeFileSync(join(site.folder, 'cordon.yml'), 'data: .')
  await site.alert(alertOn('d1', rule))
  await site.run()
  const cordon = async (...words: string[]) => {
    const lines: string[] = []
    const io = {
      out: (...more: readonly string[]) => void lines.push(...more),
      err: (...more: readonly string[]) => void lines.push(...more),
      terminal: true,
      style: (_: string, text: string) => text,
    }
    const code = await main(['node', 'cordon', ...words, '--config', join(site.folder, 'cordon.yml')], io)
    return { code, text: lines.join('\n') }
  }
  return { site, cordon }
}

test('an incident says what was done and, apart, what is left to a person and why', async () => {
  const { site, cordon } = await nodeWithAnIncident()
  const [incident] = await site.ledger.incidents({ limit: 1 })
  const { code, text } = await cordon('incidents', 'show', incident!.id.slice(0, 8))
  expect(code).toBe(0)
  expect(text).toContain('Quarantined: device d1, confirmed by mdm')
  expect(text.match(/On-call has the incident/g)).toHaveLength(1)
  expect(text).toContain(
    'Recommended, for a person to do:\n  lock_device on device d1: no responder for it is configured\n  notify: no responder',
  )
})

test('an order has words that say why', async () => {
  const { site, cordon } = await nodeWithAnIncident()
  const [quarantine] = await site.ledger.effects({ responder: 'mdm', limit: 1 })
  for (const why of ['', ' \n', 'x'.repeat(2_001)]) {
    const { code, text } = await cordon('actions', 'undo', quarantine!.id, '--reason', why)
    expect([code, text]).toEqual([3, expect.stringContaining('expected words, at most 2000 characters')])
  }
  expect((await site.ledger.effects({ responder: 'mdm', limit: 1 }))[0]!.undoRequested).toBeUndefined()
})

test('an undo is asked for, done by the node, and then over', async () => {
  const { site, cordon } = await nodeWithAnIncident()
  const [quarantine] = await site.ledger.effects({ responder: 'mdm', limit: 1 })
  const undo = () => cordon('actions', 'undo', quarantine!.id.slice(0, 8), '--reason', 'false alarm')
  expect(await undo()).toMatchObject({
    code: 0,
    text: expect.stringMatching(/^quarantine_device device d1: undo asked for; .*actions show/),
  })
  // The command's clock is the real one.
  site.now = Date.now()
  await site.run()
  expect(await undo()).toMatchObject({ code: 3, text: expect.stringContaining('EFFECT_OVER') })
  expect((await cordon('actions', 'list', '--state', 'reverted')).text).toContain('quarantine_device')
})

test('what was not sent is called off', async () => {
  const { site, cordon } = await nodeWithAnIncident()
  await cordon('actions', 'stop', '--reason', 'drill')
  await site.alert(alertOn('d2', ruleWith({ response: [{ do: 'quarantine_device' }] }), { key: '2' }))
  await site.run()
  const [held] = await site.ledger.effects({ states: ['HELD'], limit: 1 })
  expect((await cordon('actions', 'undo', held!.id, '--reason', 'not this one')).text).toBe('quarantine_device device d2: called off')
})

test('the node that never ran, and the id that is none', async () => {
  const { site, cordon } = await nodeWithAnIncident()
  expect(await cordon('alerts', 'show', 'ffff')).toMatchObject({ code: 3, text: expect.stringContaining('ID_NOT_FOUND') })
  writeFileSync(join(site.folder, 'cordon.yml'), 'data: elsewhere')
  expect(await cordon('alerts', 'list')).toMatchObject({ code: 3, text: expect.stringContaining('LEDGER_MISSING') })
})
