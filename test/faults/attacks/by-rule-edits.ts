import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import {
  type Attack,
  acting,
  BAD,
  closed,
  correlation,
  detection,
  editing,
  FILES,
  filter,
  GRANTS,
  HARMLESS,
  list,
  QUARANTINE,
  refused,
} from './attack.ts'

/** What a rule that is granted quarantine asks for is written into a filter of it: the rule itself only alerts. */
const sectionInFilter: Attack = {
  name: 'x-cordon in a filter',
  attempt: async (site) => {
    site.write('rules/hushed.yml', `${filter('hushed', 'quiet', 'user.name: admin')}x-cordon: {${QUARANTINE}}\n`)
    expect(new Set(site.refusals())).toEqual(new Set(['CORDON-KEY-UNKNOWN', 'CORDON-VALUE']))
    site.renew()
    await site.start()
    await site.send(acting('hush', 'sh'))
    expect(site.alerts).toHaveLength(1)
  },
  control: async (site) => {
    site.remove('rules/hushed.yml')
    site.edit('rules/quiet.yml', 'mode: alert', 'mode: enforce')
    site.grant(GRANTS)
    await site.restart()
    await site.send(acting('hush', 'sh'))
  },
}

const WIDE = FILES['rules/granted.yml']!.replace('bad', 'write')

/** The rule files change under the events: those of either state are judged by the rules that they name. */
const reloadRace: Attack = {
  name: 'a hot reload race',
  attempt: async (site) => {
    await site.start()
    for (let turn = 0; turn < 12; turn++) {
      site.write('rules/granted.yml', turn % 2 === 0 ? WIDE : FILES['rules/granted.yml']!)
      process.emit('SIGHUP', 'SIGHUP')
      for (let sent = 0; sent < 10; sent++) await site.post([acting('write', 'evil')])
    }
    await site.settled()
    expect(site.alerts.length).toBeGreaterThan(0)
  },
  control: async (site) => {
    await site.restart()
    await site.send(BAD)
  },
}

/** As {@link reloadRace}, at its worst: what the edited rule detected is decided about when the granted one is in force again. */
const switchedBack: Attack = {
  name: 'an edit that is taken back before its alert is decided about',
  attempt: async (site) => {
    const asked = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    // Decisions about a device are made one after the other: the first one waits for the policy as code, and the others behind it.
    const opa = createServer(async (request, response) => {
      request.resume()
      asked.resolve()
      await release.promise
      response.end(JSON.stringify({ result: { decision: 'deny', reason: 'not this one' } }))
    })
    await new Promise<void>((done) => opa.listen(0, '127.0.0.1', done))
    const url = `http://127.0.0.1:${(opa.address() as AddressInfo).port}/v1/data/cordon/decision`
    site.configure({ policy_as_code: { opa: url, allow_private: true, timeout: '30s' } })
    await site.start()
    await site.post([BAD])
    await asked.promise
    site.write('rules/granted.yml', WIDE)
    await site.reload('is in force')
    await site.post([acting('write', 'evil')])
    site.write('rules/granted.yml', FILES['rules/granted.yml']!)
    await site.reload('is in force')
    release.resolve()
    await site.settled()
    const [bad, wide] = site.alerts.map(({ rule }) => rule)
    expect([bad?.id, wide?.id, bad?.hash === wide?.hash]).toEqual(['granted', 'granted', false])
    expect((await site.actions()).map(({ state }) => state)).toEqual(['AWAITING_APPROVAL'])
    await new Promise((done) => opa.close(done))
    opa.closeAllConnections()
  },
  control: async (site) => {
    await site.stop()
    site.configure()
    await site.start()
    await site.send(BAD)
  },
}

export const RULE_EDITS: readonly Attack[] = [
  editing('a new rule', (site) => site.write('rules/new.yml', detection('new', 'event.action: write')), [HARMLESS], 'new'),
  editing('editing a granted rule', (site) => site.edit('rules/granted.yml', 'bad', 'write'), [acting('write', 'evil')]),
  editing('editing the child of a granted rule', (site) => site.edit('rules/probe.yml', ': probe}', ': write}'), [HARMLESS, HARMLESS]),
  editing('editing its filter', (site) => site.edit('rules/spared.yml', 'admin', 'nobody'), [{ ...BAD, user: { name: 'admin' } }]),
  editing(
    'a new filter on what keeps it silent',
    (site) => site.write('rules/no-mfa.yml', filter('no-mfa', 'mfa', 'device.id: laptop')),
    [acting('login', 'sshd'), acting('mfa', 'sshd')],
    undefined,
    closed,
  ),
  editing('editing its list', (site) => site.write('rules/tools.yml', list('tools', 'evil', 'editor')), [acting('bad', 'editor')]),
  editing(
    'editing the list that says what its log source is',
    (site) => site.write('rules/agents.yml', list('agents', 'gemini', 'editor')),
    [HARMLESS],
  ),
  refused('a rule of the same id in another file', ['SIGMA-ID-DUPLICATE'], 'rules/z.yml', detection('granted', 'event.action: write'), [
    HARMLESS,
  ]),
  refused(
    'a rule of the name of its child',
    ['SIGMA-REFERENCE-AMBIGUOUS'],
    'rules/a.yml',
    detection('other', 'event.action: write').replace('name: other', 'name: probe'),
    [HARMLESS, HARMLESS],
  ),
  editing('a list of the same name in another file', (site) => site.write('rules/z.yml', list('tools', 'editor')), [
    acting('bad', 'editor'),
  ]),
  editing(
    'a filter of the same id in another file',
    (site) => site.write('rules/z.yml', filter('spared', 'granted', 'user.name: nobody')),
    [{ ...BAD, user: { name: 'admin' } }],
  ),
  editing(
    'a correlation of a granted rule',
    (site) => site.write('rules/over.yml', correlation('over', 'type: event_count, rules: [granted], timespan: 1m, condition: {gte: 1}')),
    [BAD],
    'over',
  ),
  sectionInFilter,
  reloadRace,
  switchedBack,
]
