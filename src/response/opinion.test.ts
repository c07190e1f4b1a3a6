import { afterEach, expect, test } from 'vitest'
import type { AskOpinion, Opinion, OpinionInput } from './opinion.ts'
import { alertOn, closeSites, policyWith, quarantines, setUp } from './testbed.ts'

afterEach(closeSites)

/** A site with a policy as code that answers so about quarantine and lets people be told. */
async function advised(answer: () => Promise<Opinion>) {
  const asked: OpinionInput[] = []
  const lab = setUp()
  const ask: AskOpinion = async (input) => {
    asked.push(input)
    return input.request.verb === 'quarantine_device' ? answer() : { decision: 'allow', reason: 'people may know' }
  }
  lab.site.opinion = ask
  await lab.site.restart()
  return { ...lab, asked }
}

test('what it allows is done, and the record says what it was shown', async () => {
  const { site, rule, mdm, asked } = await advised(async () => ({ decision: 'allow', reason: 'working hours' }))
  await site.alert(alertOn('d1', rule))
  await site.run()
  const [effect] = await quarantines(site)
  expect(mdm.acts).toHaveLength(1)
  expect(effect).toMatchObject({ state: 'CONFIRMED', opinion: { decision: 'allow', reason: 'working hours' } })
  expect(asked).toContainEqual(effect!.opinion!.input)
  expect(effect!.opinion!.input).toMatchObject({
    version: 1,
    request: { verb: 'quarantine_device', tells: false },
    alert: { mode: 'enforce', entities: [{ kind: 'device', id: 'd1' }] },
    rule: { hash: rule.hash, loaded: rule.hash },
    grant: { mode: 'enforce', changes: [] },
  })
})

test('what it denies is a recommendation, with its reason, and nothing is sent', async () => {
  const { site, rule, mdm } = await advised(async () => ({ decision: 'deny', reason: 'the owner is on call' }))
  await site.alert(alertOn('d1', rule))
  await site.run()
  expect(mdm.acts).toHaveLength(0)
  expect(await quarantines(site)).toEqual([])
  const [incident] = await site.ledger.incidents({ limit: 1 })
  expect(incident!.recommendations).toContainEqual(
    expect.objectContaining({ verb: 'quarantine_device', reason: 'policy as code: the owner is on call' }),
  )
})

test.each([
  ['says so', async (): Promise<Opinion> => ({ decision: 'approval', reason: 'a server' }), 'policy as code: a server'],
  ['has no answer', () => Promise.reject(new Error('timed out')), 'policy as code: no answer: timed out'],
])('people are asked where it %s', async (_, answer, reason) => {
  const { site, rule, mdm } = await advised(answer)
  await site.alert(alertOn('d1', rule))
  await site.run()
  expect(mdm.acts).toHaveLength(0)
  expect((await quarantines(site)).map((effect) => [effect.state, effect.reason])).toEqual([['AWAITING_APPROVAL', reason]])
})

test('it cannot allow what no grant does, and is not asked about it', async () => {
  const { site, rule, mdm, asked } = await advised(async () => ({ decision: 'allow', reason: '' }))
  site.policy = policyWith([])
  await site.alert(alertOn('d1', rule))
  await site.run()
  expect(asked).toEqual([])
  expect(mdm.acts).toHaveLength(0)
})
