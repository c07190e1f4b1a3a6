import { mkdirSync, renameSync, symlinkSync } from 'node:fs'
import { expect } from 'vitest'
import { main } from '../../../src/cli/main.ts'
import { accountName } from '../../../src/engine/door/orders.ts'
import { withLedger } from '../../../src/engine/ledger.ts'
import { type Effect, effectId, subjectOf } from '../../../src/response/effect.ts'
import type { GrantedSite } from '../../kits/granted-site.ts'
import { freePort, until } from '../../kits/site.ts'
import { ASKED, type Attack, acting, approve, asked, BAD, byBob, detection, editing, FILES, GRANTS, HARMLESS, refused } from './attack.ts'

const OWN_API = `name: own-api
title: Ask the API itself
verb: notify
effect: notify
target: incident
permissions: [none]
example: {url: 'https://cordon.example.com'}
repeatable: true
check: reachable
plan: {summary: ask}
run:
  request: {method: POST, path: '/v1/actions/{{incident.title}}/approve', json: {reason: seen, digest: '${'f'.repeat(64)}'}}
confirm: accepted
`

const TRIED: readonly (readonly [string, string])[] = [
  ['POST', '/v1/rules'],
  ['PUT', '/v1/rules/granted'],
  ['POST', '/v1/grants'],
  ['PUT', '/v1/policy/grants'],
  ['POST', '/v1/alerts'],
  ['POST', '/v1/actions'],
]

export const OTHER_WAYS: readonly Attack[] = [
  {
    name: 'the API',
    attempt: async (site) => {
      site.grant(ASKED)
      await site.start()
      const { id, approval } = await asked(site)
      const key = await site.key('eve', 'rule-author')
      const grant = { rule: 'granted', verbs: ['quarantine_device'], mode: 'enforce', target: 'laptop' }
      for (const [method, path] of TRIED) expect(await site.order(path, key, grant, method)).toBe(404)
      for (const order of ['approve', 'release', 'undo'])
        expect(
          await site.order(`/v1/actions/${id}/${order}`, key, {
            reason: 'x',
            ...(order === 'approve' ? { digest: approval!.digest } : {}),
          }),
        ).toBe(403)
      expect(await approve(site, await asked(site), undefined)).toBe(401)
    },
    control: byBob,
  },
  {
    ...editing(
      'an import that brings its own grants',
      (site) => {
        site.write('rules/pack/rule.yml', detection('packed', 'event.action: write'))
        for (const name of ['grants.yml', 'policy/grants.yml', 'limits.yml'])
          site.write(
            `rules/pack/${name}`,
            JSON.stringify({ grants: [{ rule: 'packed', verbs: ['quarantine_device'], mode: 'enforce' }], quarantine_rules: ['packed'] }),
          )
      },
      [HARMLESS],
      'packed',
    ),
  },
  {
    name: 'a symlink and a path in a bundle',
    attempt: async (site) => {
      await site.start()
      site.write('elsewhere/granted.yml', FILES['rules/granted.yml']!.replace('bad', 'write'))
      site.remove('rules/granted.yml')
      symlinkSync(site.at('elsewhere', 'granted.yml'), site.at('rules', 'granted.yml'))
      mkdirSync(site.at('rules', '..policy'))
      symlinkSync(site.at('policy', 'grants.yml'), site.at('rules', '..policy', 'grants.yml'))
      process.emit('SIGHUP')
      await until('it is refused', 20, () => site.said.some((text) => text.includes('leads out of its folder')))
      await site.send(acting('write', 'evil'))
      site.remove('rules/granted.yml')
      site.write('rules/granted.yml', FILES['rules/granted.yml']!)
    },
    control: async (site) => {
      await site.restart()
      await site.send(BAD)
    },
  },
  editing(
    'an anchor in what is prose',
    (site) =>
      site.write(
        'rules/granted.yml',
        FILES['rules/granted.yml']!.replace('title:', 'related: [&wide {event.action: write}]\ntitle:').replace(
          /s: \{.*?\}, c/,
          's: *wide, c',
        ),
      ),
    [HARMLESS],
  ),
  refused(
    'a YAML merge key',
    'rules/granted.yml',
    FILES['rules/granted.yml']!.replace('detection: {', 'detection: {w: &w {event.action: write}, ').replace(
      /s: \{.*?\}, c/,
      's: {<<: *w}, c',
    ),
    [HARMLESS],
  ),
  {
    name: 'a bundle that is rolled back',
    attempt: async (site) => {
      await site.start()
      site.edit('rules/granted.yml', 'bad', 'worse')
      site.grant(GRANTS)
      await site.restart()
      site.write('rules/granted.yml', FILES['rules/granted.yml']!)
      await site.restart()
      await site.send(BAD)
    },
    control: async (site) => {
      site.grant(GRANTS)
      await site.restart()
      await site.send(BAD)
    },
  },
  editing(
    'a renamed id',
    (site) => {
      renameSync(site.at('rules', 'granted.yml'), site.at('rules', 'was-granted.yml'))
      site.edit('rules/was-granted.yml', 'id: granted', 'id: was-granted')
      site.write('rules/granted.yml', detection('granted', 'event.action: write').replace('name: granted', 'name: new'))
    },
    [HARMLESS],
  ),
  {
    name: 'a replay, a backtest and a test',
    attempt: async (site) => {
      await site.start()
      await site.stop()
      const event = JSON.stringify({ '@timestamp': new Date().toISOString(), logsource: { category: 'test' }, ...BAD })
      site.write('events.ndjson', `${event}\n`)
      site.edit(
        'rules/granted.yml',
        '{mode',
        `{tests: [{name: one, events: [${event}], expect: {alerts: 1, actions: [quarantine_device]}}], mode`,
      )
      site.grant(GRANTS)
      const told: string[] = []
      const io = {
        out: (text: string) => void told.push(text),
        err: (text: string) => void told.push(text),
        terminal: false,
        style: (_: string, text: string) => text,
      }
      const run = (...args: readonly string[]) => main(['node', 'cordon', ...args], io)
      const config = ['--config', site.at('cordon.yml')]
      expect(await run('replay', '--rules', site.at('rules'), site.at('events.ndjson'))).toBe(0)
      expect(await run('test', site.at('rules'))).toBe(0)
      expect(await run('actions', 'plan', '--rule', 'granted', '--over', '30d', ...config)).toBe(0)
      expect(told.join('\n')).toContain('"granted"')
      await site.start()
      await site.settled()
    },
    control: (site) => site.send(BAD),
  },
  editing(
    'a template in the response',
    (site) =>
      site.edit(
        'rules/granted.yml',
        '{do: quarantine_device, target: device}',
        "{do: quarantine_device, target: device, message: '{{secret.token}}{{{device.mdm.id}}}/../mdm-other'}",
      ),
    [BAD],
  ),
  refused(
    'a template for a target',
    'rules/granted.yml',
    FILES['rules/granted.yml']!.replace('target: device', "target: '{{user.name}}'"),
    [{ ...BAD, user: { name: 'device' } }],
  ),
  {
    name: 'a webhook to the API of Cordon itself',
    attempt: async (site) => {
      const port = await freePort()
      const own = { use: 'own-api', url: `http://127.0.0.1:${port}`, allow_private: true }
      site.write('responders/own-api.yml', OWN_API)
      site.configure({ listen: { ingest: { port: 0 }, api: { port } } }, own)
      const id = effectId(
        subjectOf({ verb: 'quarantine_device', target: { kind: 'device', id: 'laptop', facts: {} }, responder: 'isolate' }),
        1,
      )
      const asking = `x-cordon: {mode: enforce, response: [{do: create_incident, title: '${id}'}, {do: notify}]}`
      site.write('rules/asks.yml', detection('asks', 'event.action: ask', asking))
      site.grant([...ASKED, { rule: 'asks', verbs: ['notify'] }])
      await site.start()
      expect((await asked(site)).id).toBe(id)
      await site.send({ ...acting('ask', 'sh'), device: { id: 'other' } })
      const [told] = (await site.actions()).filter(({ verb }) => verb === 'notify')
      expect([told?.state, told?.reason]).toEqual(['DEAD', expect.stringContaining('401')])
    },
    control: byBob,
  },
  {
    name: "approving one's own request",
    attempt: async (site) => {
      site.grant(ASKED)
      await site.start()
      for (const name of [accountName(), accountName().toUpperCase()])
        expect(await approve(site, await asked(site), await site.key(name, 'responder'))).toBe(403)
    },
    control: byBob,
  },
  {
    name: 'an approval of another action',
    attempt: async (site) => {
      site.grant(ASKED)
      await site.start()
      const [one, other] = [await asked(site), await asked(site, 'other')]
      const bob = await site.key('bob', 'responder')
      expect(await approve(site, one, bob, other.approval!.digest)).toBe(409)
      expect(await approve(site, other, bob)).toBe(200)
    },
    control: byBob,
  },
  {
    name: 'a target that is edited after the approval',
    victim: 'mdm-other',
    attempt: async (site) => {
      site.grant(ASKED)
      await site.start()
      const action = await asked(site)
      await site.beside((node) => node.stop('bob', 'wait'))
      expect(await approve(site, action, await site.key('bob', 'responder'))).toBe(200)
      const facts = { ...action.target.facts, 'device.mdm.id': 'mdm-other' }
      await tamper(site, action.id, (effect) => ({ ...effect, target: { ...effect.target, facts } }))
      await site.beside((node) => node.start('bob'))
      await site.settled()
    },
    control: async (site) => {
      expect(await approve(site, await asked(site, 'other'), await site.key('bob', 'responder'))).toBe(200)
    },
  },
]

/** Writes to the ledger behind everybody's back. */
function tamper(site: GrantedSite, id: string, change: (effect: Effect) => Effect): Promise<void> {
  return withLedger(site.config, (ledger) =>
    ledger.transaction(async (transaction) => {
      const effect = (await transaction.effect(id))!
      await transaction.putEffect({ ...change(effect), version: effect.version + 1 })
    }),
  )
}
