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
  HARMLESS,
  list,
  QUARANTINE,
  refused,
} from './attack.ts'

/** The rule files change under the events: those of either state are judged by the rules that they name. */
const reloadRace: Attack = {
  name: 'a hot reload race',
  attempt: async (site) => {
    await site.start()
    for (let turn = 0; turn < 12; turn++) {
      site.write('rules/granted.yml', turn % 2 === 0 ? FILES['rules/granted.yml']!.replace('bad', 'write') : FILES['rules/granted.yml']!)
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
  refused('a rule of the same id in another file', 'rules/z.yml', detection('granted', 'event.action: write'), [HARMLESS]),
  refused(
    'a rule of the name of its child',
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
  refused('x-cordon in a filter', 'rules/spared.yml', `${FILES['rules/spared.yml']}x-cordon: {${QUARANTINE}}\n`, [HARMLESS]),
  reloadRace,
]
