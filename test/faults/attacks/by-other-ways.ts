import { mkdirSync, renameSync, symlinkSync } from 'node:fs'
import { expect } from 'vitest'
import { newKey } from '../../../src/audit/note.ts'
import { accountName } from '../../../src/engine/door/orders.ts'
import { withLedger } from '../../../src/engine/ledger.ts'
import { signConfigured } from '../../../src/engine/trust/sign.ts'
import type { EventRecord } from '../../../src/event/event.ts'
import { type Effect, effectId, subjectOf } from '../../../src/response/effect.ts'
import { type Activation, bundleKey, bundleOf, recordsOf } from '../../../src/sigma/bundle.ts'
import type { GrantedSite } from '../../kits/granted-site.ts'
import { isolate } from '../../kits/isolating-vendor.ts'
import { freePort } from '../../kits/site.ts'
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

/** Rules that are not in the folder, through links in it: to a file, to nothing, to a folder, to the policy. */
const links: Attack = {
  name: 'a symlink in the folder of rules',
  attempt: async (site) => {
    await site.start()
    site.write('elsewhere/granted.yml', FILES['rules/granted.yml']!.replace('bad', 'write'))
    site.write('elsewhere/other.yml', detection('other', 'event.action: write'))
    const wrong = async (name: string, to: readonly string[], said: string) => {
      symlinkSync(site.at(...to), site.at('rules', name))
      await site.reload(`${name} is a link that leads ${said}`)
      await site.send(acting('write', 'evil'))
      site.remove(`rules/${name}`)
    }
    site.remove('rules/granted.yml')
    await wrong('granted.yml', ['elsewhere', 'granted.yml'], 'out of its folder')
    site.write('rules/granted.yml', FILES['rules/granted.yml']!)
    mkdirSync(site.at('rules', 'x..policy'))
    await wrong('x..policy/grants.yml', ['policy', 'grants.yml'], 'out of its folder')
    await wrong('folder.yml', ['elsewhere'], 'out of its folder')
    await wrong('nowhere.yml', ['elsewhere', 'nothing.yml'], 'nowhere')
    symlinkSync(site.at('elsewhere'), site.at('rules', 'elsewhere'))
    site.edit('rules/probe.yml', 'level: high', 'level: low')
    await site.reload('is in force')
    await site.send(acting('write', 'evil'))
    expect(site.alerts).toHaveLength(0)
  },
  control: (site) => site.send(BAD),
}

/** A bundle whose files say that they are the policy's, and the granted rule's, in the log that all nodes share. */
const pathInBundle: Attack = {
  name: 'a path in a bundle',
  attempt: async (site) => {
    await site.start()
    await site.stop()
    const grants = JSON.stringify({ grants: [{ rule: 'packed', verbs: ['quarantine_device'], mode: 'enforce' }] })
    const files = [
      { path: '../policy/grants.yml', text: grants },
      { path: 'rules/../../policy/limits.yml', text: JSON.stringify({ quarantine_rules: ['packed'] }) },
      { path: site.at('rules', 'granted.yml'), text: detection('granted', 'event.action: write') },
      { path: '../rules/packed.yml', text: detection('packed', 'event.action: write') },
    ]
    const [policy, rule] = [site.read('policy/grants.yml'), site.read('rules/granted.yml')]
    const bundle = bundleOf(files)
    const activation: Activation = { kind: 'activation', bundle: bundle.id, by: 'owner', at: Date.now() }
    for (const record of [...recordsOf(bundle), activation]) await site.append('bundles', record, bundleKey(record))
    // As if it had been taken in while that bundle was in force, by which it is judged.
    const logsource = [{ category: 'test' }]
    const ecs = { ...acting('write', 'evil'), device: { id: 'laptop', mdm: { id: 'mdm-laptop' } } }
    const event = { id: '1'.repeat(26), time: Date.now(), ingested: Date.now(), logsource, ecs }
    await site.append('events', { kind: 'event', event, bundle: bundle.id } satisfies EventRecord)
    await site.start()
    await site.send(acting('write', 'evil'))
    expect(site.alerts.map(({ rule }) => rule.id).sort()).toEqual(['granted', 'packed'])
    expect((await site.actions()).map(({ state }) => state)).toEqual(['AWAITING_APPROVAL'])
    expect([site.read('policy/grants.yml'), site.read('rules/granted.yml')]).toEqual([policy, rule])
  },
  control: (site) => site.send(BAD),
}

/** The owner of the policy granted what the rule is now; the author puts back what it was. */
const rolledBack: Attack = {
  name: 'a bundle that is rolled back',
  attempt: async (site) => {
    await site.start()
    site.edit('rules/granted.yml', 'bad', 'worse')
    site.grant(GRANTS)
    await site.restart()
    site.write('rules/granted.yml', FILES['rules/granted.yml']!)
    await site.restart()
    await site.send(BAD)
    expect(site.alerts).toHaveLength(1)
  },
  control: async (site) => {
    site.grant(GRANTS)
    await site.restart()
    await site.send(BAD)
  },
}

/** Where rules are signed, what was signed and granted once does not come back with its signature, though its grant is still there. */
const signedRollBack: Attack = {
  name: 'a signed bundle that is rolled back',
  attempt: async (site) => {
    site.write('owner.pem', newKey())
    site.write('trusted.keys', '')
    site.configure({ trust: { keys: './trusted.keys' } })
    const { publicKey } = sign(site, 'policy', 1)
    site.write('trusted.keys', `${publicKey}\n`)
    sign(site, 'rules', 1)
    const signature = site.read('rules.sig')
    await site.start()
    site.edit('rules/granted.yml', 'bad', 'worse')
    sign(site, 'rules', 2)
    await site.reload('is in force')
    site.write('rules/granted.yml', FILES['rules/granted.yml']!)
    site.write('rules.sig', signature)
    await site.reload('were signed before those that were in force already')
    await site.send(BAD)
    expect(site.alerts).toHaveLength(0)
    await site.stop()
    await expect(site.start()).rejects.toMatchObject({ code: 'SET_ROLLED_BACK' })
  },
  control: async (site) => {
    sign(site, 'rules', 3)
    await site.start()
    await site.send(BAD)
  },
}

function sign(site: GrantedSite, set: 'rules' | 'policy', counter: number) {
  return signConfigured(site.config, set, { name: 'owner', file: site.at('owner.pem') }, counter)
}

/** All that runs rules over events without a node, where responder and grant are at hand. */
const offline: Attack = {
  name: 'a replay, a backtest and a test',
  attempt: async (site) => {
    await site.start()
    await site.stop()
    const seen = site.vendor.seen.length
    const event = JSON.stringify({ '@timestamp': new Date().toISOString(), logsource: { category: 'test' }, ...BAD })
    site.write('events.ndjson', `${event}\n`)
    site.edit(
      'rules/granted.yml',
      '{mode',
      `{tests: [{name: one, events: [${event}], expect: {alerts: 1, actions: [quarantine_device]}}], mode`,
    )
    site.grant(GRANTS)
    expect(await site.cordon('replay', '--rules', 'rules', '--config', 'cordon.yml', 'events.ndjson')).toContain('"granted"')
    expect(await site.cordon('test', 'rules')).toContain('1 passed, 0 failed')
    expect(await site.cordon('actions', 'plan', '--rule', 'granted', '--over', '30d', '--config', 'cordon.yml')).toContain('Rule granted')
    expect(site.vendor.seen).toHaveLength(seen)
    await site.start()
    await site.settled()
  },
  control: (site) => site.send(BAD),
}

const TELL = `name: tell
title: Tell the vendor
verb: notify
effect: notify
target: incident
permissions: [none]
secrets: {token: a token of the server}
example: {url: 'https://tell.example.com', token: {env: TELL_TOKEN}}
repeatable: true
check: reachable
plan: {summary: tell}
run:
  request: {method: POST, path: '/notes', json: {title: '{{incident.title}}', summary: '{{incident.summary}}'}}
confirm: accepted
`
const STOLEN = '{{secret.token}} {{token}} {{config.token}} /../mdm-other'
const BREAKING = '"}, {"to": "mdm-other"} {{secret.token}} ../mdm-other\n'

/** The words that a rule may choose are granted: what they say is text, and reaches neither a secret nor another device. */
const templates: Attack = {
  name: 'a template in the response',
  victim: 'mdm-other',
  attempt: async (site) => {
    site.write('responders/tell.yml', TELL)
    const tell = { use: 'tell', url: site.vendor.url, allow_private: true, token: { file: site.at('token') } }
    site.configure({}, tell)
    const speaking = (id: string, words: string) =>
      detection(
        id,
        `event.action: ${id}`,
        `x-cordon: {mode: enforce, entities: {tool: process.name}, response: [{do: quarantine_device, target: device}, {do: notify, title: '${words}', message: '${words}'}]}`,
      )
    const words = { stolen: STOLEN, walked: '{{constructor}} {{__proto__}}', filled: 'by {{process.name}}' }
    for (const [id, text] of Object.entries(words)) site.write(`rules/${id}.yml`, speaking(id, text))
    const verbs = ['quarantine_device', 'notify']
    site.grant([...GRANTS, ...Object.keys(words).map((rule) => ({ rule, verbs }))])
    const inventory = Object.keys(words).map((id) => ({ id: `${id}-1`, mdm_id: `mdm-${id}` }))
    site.write('inventory.yml', JSON.stringify({ devices: [...inventory, { id: 'other', mdm_id: 'mdm-other' }] }))
    site.vendor.answers = ({ path }) => (path === '/notes' ? { status: 200, body: '{}' } : undefined)
    await site.start()
    for (const id of Object.keys(words)) await site.send({ ...acting(id, BREAKING), device: { id: `${id}-1` } })
    const notes = site.vendor.seen.filter(({ path }) => path === '/notes').map(({ body }) => JSON.parse(body) as Record<string, string>)
    const filled = `by ${BREAKING.replace('\n', ' ')}`
    const told = (of: (note: Record<string, string>) => unknown) => [...new Set(notes.map(of))]
    expect(told((note) => Object.keys(note).sort().join())).toEqual(['summary,title'])
    expect(told(({ title }) => title)).toEqual(['Rule stolen', 'Rule walked', filled])
    expect(told(({ summary }) => /^The rule says: (.*)$/m.exec(summary!)?.[1])).toEqual([undefined, filled])
    expect(site.vendor.isolated).toEqual(['mdm-stolen', 'mdm-walked', 'mdm-filled'])
    for (const { path, body } of site.vendor.seen) {
      expect(path).toMatch(/^\/(notes|devices\/mdm-(stolen|walked|filled))?$/)
      expect(body).not.toContain(site.read('token'))
    }
  },
  control: (site) => site.send({ ...BAD, device: { id: 'other' } }),
}

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
  links,
  pathInBundle,
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
    ['SIGMA-VALUE-TYPE'],
    'rules/granted.yml',
    FILES['rules/granted.yml']!.replace('detection: {', 'detection: {w: &w {event.action: write}, ').replace(
      /s: \{.*?\}, c/,
      's: {<<: *w}, c',
    ),
    [HARMLESS],
  ),
  rolledBack,
  signedRollBack,
  editing(
    'a renamed id',
    (site) => {
      renameSync(site.at('rules', 'granted.yml'), site.at('rules', 'was-granted.yml'))
      site.edit('rules/was-granted.yml', 'id: granted', 'id: was-granted')
      site.write('rules/granted.yml', detection('granted', 'event.action: write').replace('name: granted', 'name: new'))
    },
    [HARMLESS],
  ),
  offline,
  templates,
  refused(
    'a template that is more than a name',
    ['CORDON-VALUE'],
    'rules/quiet.yml',
    FILES['rules/quiet.yml']!.replace('[{', "[{do: notify, title: '{{{secret.token}}}'}, {").replace('alert', 'enforce'),
    [acting('hush', 'sh')],
  ),
  refused(
    'a template for a target',
    ['CORDON-ENTITY-UNKNOWN'],
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
    // The vendor knows it by a name that the inventory has no say in: nothing but the approval is about it.
    name: 'a target that is edited after the approval',
    victim: 'asset-other',
    attempt: async (site) => {
      site.write('responders/isolate.yml', isolate('user.name'))
      site.grant(ASKED)
      await site.start()
      const action = await asked(site, 'laptop', { user: { name: 'asset-laptop' } })
      await site.beside((node) => node.stop('bob', 'wait'))
      expect(await approve(site, action, await site.key('bob', 'responder'))).toBe(200)
      const facts = { ...action.target.facts, 'user.name': 'asset-other' }
      await tamper(site, action.id, (effect) => ({ ...effect, target: { ...effect.target, facts } }))
      await site.beside((node) => node.start('bob'))
      await site.settled()
      expect((await site.actions())[0]?.reason).toContain('no longer what was approved')
    },
    control: async (site) => {
      const action = await asked(site, 'other', { user: { name: 'asset-other' } })
      expect(await approve(site, action, await site.key('bob', 'responder'))).toBe(200)
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
