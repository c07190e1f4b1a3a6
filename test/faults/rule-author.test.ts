import { expect, test } from 'vitest'
import { GrantedSite } from '../kits/granted-site.ts'
import { FILES, GRANTS } from './attacks/attack.ts'
import { BY_EVENTS } from './attacks/by-events.ts'
import { OTHER_WAYS } from './attacks/by-other-ways.ts'
import { RULE_EDITS } from './attacks/by-rule-edits.ts'

/*
 * Who writes rules and has no grant makes Cordon do nothing to any device: each way that there could be, against the engine as it is, with a
 * server that says what it was told. And each time the control: with a valid grant, or without what was attacked, the same set-up acts.
 */
test.each([...RULE_EDITS, ...OTHER_WAYS, ...BY_EVENTS])(
  'a rule author without the grant causes nothing by $name',
  async ({ attempt, control, victim = 'mdm-laptop' }) => {
    const site = await GrantedSite.create(FILES, GRANTS)
    try {
      await attempt(site)
      expect(site.vendor.isolated).not.toContain(victim)
      await control(site)
      expect(site.vendor.isolated).toContain(victim)
    } finally {
      await site.close()
    }
  },
)
