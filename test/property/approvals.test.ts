import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type LinkClaims, signLink } from '../../src/access/approval-link.ts'
import type { Role } from '../../src/access/principal.ts'
import { createApi } from '../../src/api/app.ts'
import { approvalLinks } from '../../src/engine/door/approval-links.ts'
import { openDoor } from '../../src/engine/door/door.ts'
import { createKey, holderOfKey, openKeys, revokeKeys } from '../../src/engine/door/keys.ts'
import { Operations } from '../../src/engine/operations.ts'
import type { ApprovalLink, ConnectedResponder, Responder } from '../../src/responders/responder.ts'
import { type Approvals, NO_APPROVALS } from '../../src/response/approval.ts'
import type { Effect } from '../../src/response/effect.ts'
import { stopActions } from '../../src/response/operator.ts'
import { alertOn, FakeVendor, grantFor, HOUR, MINUTE, policyWith, ruleWith, Site, START } from '../../src/response/testbed.ts'

/*
 * Who may let an action go, tried over the API of a node with the ledger, the guards and the dispatcher as they are: every way in which an
 * approval could be worth more than the one look of one person at one thing.
 */

const KEY = 'a key that signs links: thirty-two letters and more'
const BOB = { name: 'bob', role: 'responder', via: 'to-bob' } as const
const ANA = { name: 'ana', role: 'responder', via: 'to-ana' } as const
const QUARANTINE = ruleWith({ response: [{ do: 'notify' }, { do: 'quarantine_device' }] })
let folder: string
let rule = QUARANTINE
let site: Site
const sites: Site[] = []
let mdm: FakeVendor
let pager: FakeVendor
let leads: FakeVendor
let app: ReturnType<typeof createApi>
let keysFile: string
/** The links in each message to bob. */
let mails: (readonly ApprovalLink[])[]

/** A node whose grant asks people each time. The rule was put in force by `ana`. */
function start(changes: Partial<Responder> = {}, approvals: Partial<Approvals> = {}): void {
  rule = QUARANTINE
  const clock = () => site?.now ?? START
  mdm = new FakeVendor(clock, true)
  pager = new FakeVendor(clock, true)
  leads = new FakeVendor(clock, true)
  const toBob = pager.link('to-bob', 'notify', 'incident')
  const run: ConnectedResponder['run'] = (plan, context) => {
    mails.push(context.approvals)
    return toBob.connected.run(plan, context)
  }
  const links = [
    mdm.link('mdm', 'quarantine_device', 'device', changes),
    pager.link('pager', 'notify', 'incident'),
    { ...toBob, connected: { ...toBob.connected, run } },
    leads.link('leads', 'notify', 'incident'),
  ]
  const grants = [
    { ...grantFor(rule, ['quarantine_device']), mode: 'approve' as const },
    { ...grantFor(rule, ['notify']), mode: 'enforce' as const },
  ]
  const escalation = [{ after: 10 * MINUTE, tell: ['leads'] }]
  site = new Site(links, () => rule, policyWith(grants, { approvals: { ...NO_APPROVALS, escalation, people: [BOB, ANA], ...approvals } }))
  sites.push(site)
  const linked = approvalLinks(
    { approval_links: { url: 'https://cordon.example/', key: { env: 'LINK_KEY' } } },
    () => site.policy.approvals,
    clock,
  )!
  site.approvalLinks = linked.through
  openKeys(keysFile)
  // By the file as it is: what a running node hears of within a second.
  const holderOf = (key: string) => {
    try {
      return holderOfKey(keysFile, key, clock())
    } catch {
      return undefined
    }
  }
  app = createApi({
    door: openDoor([], holderOf, () => {}),
    health: async () => ({ status: 'ok', checks: [] }),
    metrics: async () => '',
    onError: (error) => {
      throw error
    },
    operations: new Operations({ ...site.ports, policy: () => site.policy, responders: links }),
    webhooks: undefined,
    links: linked,
    streams: undefined,
  })
}

const keyOf = (name: string, role: Role = 'responder', lasts = 90 * 24 * HOUR) => createKey(keysFile, name, role, lasts, START)

async function post(path: string, key: string | undefined, body: object, method = 'POST') {
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const init = { method, headers: { host: 'localhost', 'content-type': 'application/json', ...authorization } }
  const answer = await app.request(path, method !== 'POST' ? init : { ...init, body: JSON.stringify(body) })
  return { status: answer.status, body: (await answer.json().catch(() => ({}))) as Record<string, unknown> }
}

async function asked(device = 'd1', key = ''): Promise<Effect> {
  await site.alert(
    alertOn(device, rule, { key, time: site.now, entities: [{ kind: 'device', id: device, facts: { 'device.mdm.id': 'm' } }] }),
  )
  await site.run()
  return latest(device)
}

async function latest(device = 'd1'): Promise<Effect> {
  const effects = (await site.ledger.effects({ responder: 'mdm', limit: 100 })).filter(({ target }) => target.id === device)
  return effects.toSorted((one, other) => other.epoch - one.epoch)[0]!
}

const answerTo = (effect: Effect, more: object = {}) => ({ reason: 'seen', digest: effect.approval!.digest, ...more })
const approve = (effect: Effect, key: string | undefined, more: object = {}) =>
  post(`/v1/actions/${effect.id}/approve`, key, answerTo(effect, more))
const sent = () => mdm.acts.filter(({ act }) => act === 'do').length

beforeEach(() => {
  mails = []
  process.env.LINK_KEY = KEY
  folder = mkdtempSync(join(tmpdir(), 'cordon-approvals-'))
  keysFile = join(folder, 'tokens.json')
})
afterEach(async () => {
  for (const one of sites.splice(0)) await one.close()
  rmSync(folder, { recursive: true })
})

test('an approval by another person than the requester is sent, and says who saw what', async () => {
  start()
  const effect = await asked()
  expect([effect.state, effect.approval?.requester]).toEqual(['AWAITING_APPROVAL', 'ana'])
  await site.passTo(START + 5 * MINUTE)
  expect(sent()).toBe(0)
  expect((await approve(effect, await keyOf('bob'))).status).toBe(200)
  await site.run()
  const done = await latest()
  expect([done.state, sent()]).toEqual(['CONFIRMED', 1])
  const saw = { effect: done.id, verb: 'quarantine_device', target: done.target, epoch: 1, incident: done.incident, rule: done.rule }
  expect(done.approval?.given).toMatchObject([{ by: 'bob', via: 'key', reason: 'seen', saw }])
})

/** What happens between the question and the answer, and how the answer is given; the status that it gets. */
const refused: readonly (readonly [string, number, (effect: Effect) => Promise<{ status: number }>])[] = [
  ['without a key', 401, (effect) => approve(effect, undefined)],
  ['with a key that someone made up', 401, (effect) => approve(effect, `cda_${'x'.repeat(43)}`)],
  [
    'with a key that has expired',
    401,
    async (effect) => {
      const key = await keyOf('bob', 'responder', 5 * MINUTE)
      site.now += 6 * MINUTE
      return approve(effect, key)
    },
  ],
  [
    'with a key that was revoked',
    401,
    async (effect) => {
      const key = await keyOf('bob')
      await revokeKeys(keysFile, 'bob', START)
      return approve(effect, key)
    },
  ],
  ['by a rule author', 403, async (effect) => approve(effect, await keyOf('bob', 'rule-author'))],
  ['by an administrator', 403, async (effect) => approve(effect, await keyOf('bob', 'admin'))],
  ['by a viewer', 403, async (effect) => approve(effect, await keyOf('bob', 'viewer'))],
  ['by an auditor', 403, async (effect) => approve(effect, await keyOf('bob', 'auditor'))],
  ['by an analyst, whom this policy does not name', 403, async (effect) => approve(effect, await keyOf('bob', 'analyst'))],
  [
    'in an emergency that an analyst declares',
    403,
    async (effect) => approve(effect, await keyOf('bob', 'analyst'), { break_glass: true }),
  ],
  ['by the requester', 403, async (effect) => approve(effect, await keyOf('ana'))],
  ['by the requester in other letters', 403, async (effect) => approve(effect, await keyOf('ANA'))],
  ['by reading: a GET is no route', 404, async (effect) => post(`/v1/actions/${effect.id}/approve`, await keyOf('bob'), {}, 'GET')],
  ['by HEAD', 404, async (effect) => post(`/v1/actions/${effect.id}/approve`, await keyOf('bob'), {}, 'HEAD')],
  ['without what was seen', 400, async (effect) => post(`/v1/actions/${effect.id}/approve`, await keyOf('bob'), { reason: 'x' })],
  ['without a reason', 400, async (effect) => approve(effect, await keyOf('bob'), { reason: ' ' })],
  ['with keys that nobody knows', 400, async (effect) => approve(effect, await keyOf('bob'), { approved_by: 'carol' })],
  ['of what someone made up', 409, async (effect) => approve(effect, await keyOf('bob'), { digest: 'f'.repeat(64) })],
  [
    'of another action',
    409,
    async (effect) => {
      const other = await asked('d2')
      return approve(effect, await keyOf('bob'), { digest: other.approval!.digest })
    },
  ],
  [
    'too late',
    409,
    async (effect) => {
      const key = await keyOf('bob')
      site.now += HOUR
      return approve(effect, key)
    },
  ],
  [
    'of what was rejected',
    409,
    async (effect) => {
      await post(`/v1/actions/${effect.id}/reject`, await keyOf('carol'), answerTo(effect))
      return approve(effect, await keyOf('bob'))
    },
  ],
  [
    'of what was called off',
    409,
    async (effect) => {
      await post(`/v1/actions/${effect.id}/undo`, await keyOf('carol'), { reason: 'no need' })
      return approve(effect, await keyOf('bob'))
    },
  ],
  [
    'of a target that was exchanged',
    409,
    async (effect) => {
      await tamper(effect, { target: { ...effect.target, facts: { 'device.mdm.id': 'the-ceo' } } })
      return approve(effect, await keyOf('bob'))
    },
  ],
  [
    'of an incident that was exchanged',
    409,
    async (effect) => {
      await tamper(effect, { incident: 'f'.repeat(32) })
      return approve(effect, await keyOf('bob'))
    },
  ],
  [
    'of the rule as it was before it was changed',
    409,
    async (effect) => {
      rule = { ...rule, hash: 'e'.repeat(64), parts: [{ ...rule.parts[0]!, hash: 'e'.repeat(64) }] }
      await site.alert(alertOn('d1', rule, { key: 'again' }))
      return approve(effect, await keyOf('bob'))
    },
  ],
]

/** Writes to the ledger behind everybody's back. */
async function tamper(effect: Effect, changes: Partial<Effect>): Promise<void> {
  await site.ledger.transaction(async (transaction) => {
    const current = (await transaction.effect(effect.id))!
    await transaction.putEffect({ ...current, ...changes, version: current.version + 1 })
  })
}

describe('an approval is refused, and nothing is sent', () => {
  test.each(refused)('%s', async (_, status, answer) => {
    start()
    expect((await answer(await asked())).status).toBe(status)
    await site.run()
    await site.passTo(site.now + 2 * HOUR)
    expect(sent()).toBe(0)
  })

  test('given twice: the second changes nothing', async () => {
    start()
    const effect = await asked()
    const bob = await keyOf('bob')
    expect([(await approve(effect, bob)).status, (await approve(effect, bob)).status]).toEqual([200, 409])
    await site.run()
    expect((await approve(effect, await keyOf('carol'))).status).toBe(409)
    await site.passTo(site.now + HOUR)
    expect(sent()).toBe(1)
  })

  test('of an earlier epoch', async () => {
    start()
    const first = await asked()
    const bob = await keyOf('bob')
    await approve(first, bob)
    await site.run()
    await post(`/v1/actions/${first.id}/undo`, bob, { reason: 'over' })
    await site.run()
    site.now += 2 * HOUR
    const second = await asked('d1', 'later')
    expect([second.epoch, second.state]).toEqual([2, 'AWAITING_APPROVAL'])
    const replayed = await post(`/v1/actions/${second.id}/approve`, bob, answerTo(first))
    expect([replayed.status, (await approve(first, bob)).status]).toEqual([409, 409])
    await site.passTo(site.now + HOUR)
    expect(sent()).toBe(1)
  })
})

describe('what was approved is not sent if by then', () => {
  /** Approved while the kill switch is on, so that something can happen before it goes. */
  async function approvedAndHeld(): Promise<Effect> {
    start()
    const effect = await asked()
    await stopActions(site.ports, 'bob', 'wait')
    expect((await approve(effect, await keyOf('bob'))).status).toBe(200)
    await site.run()
    expect((await latest()).state).toBe('HELD')
    return latest()
  }
  const letGo = async () => {
    await new Operations({ ...site.ports, policy: () => site.policy, responders: site.links }).start('bob')
    await site.run()
    return latest()
  }

  test.each([
    ['its target is another', (effect: Effect) => tamper(effect, { target: { ...effect.target, id: 'd9' } })],
    ['its epoch is another', (effect: Effect) => tamper(effect, { epoch: 7 })],
    ['what the approver saw was rewritten', (effect: Effect) => tamper(effect, withSaw(effect))],
    ['the approver was struck out', (effect: Effect) => tamper(effect, { approval: { ...effect.approval!, given: [] } })],
    [
      'the rule in force is another',
      async () => {
        rule = { ...rule, hash: 'e'.repeat(64) }
      },
    ],
    [
      'its approval has lapsed',
      async () => {
        site.now += HOUR
      },
    ],
    [
      'the policy takes two people',
      async () => {
        site.policy = withTerms(2)
      },
    ],
  ])('%s', async (_, happen) => {
    const effect = await approvedAndHeld()
    await happen(effect)
    await letGo()
    expect([sent(), (await site.ledger.effect(effect.id))?.state]).toEqual([0, 'DENIED'])
  })

  test('nothing of that kind happened, it is', async () => {
    await approvedAndHeld()
    expect([(await letGo()).state, sent()]).toEqual(['CONFIRMED', 1])
  })

  const withTerms = (people: number) => {
    const terms = [{ verb: 'quarantine_device' as const, approvers: ['responder' as const], people, ttl: HOUR }]
    return { ...site.policy, approvals: { ...site.policy.approvals, terms } }
  }
  const withSaw = ({ approval }: Effect) => {
    const [leave] = approval!.given
    return { approval: { ...approval!, given: [{ ...leave!, saw: { ...leave!.saw, responder: 'other' } }] } }
  }
})

describe('what cannot be taken back', () => {
  const destroy = { effect: 'destroy', reversible: false } as const

  test('takes two people, though policy grants it without any', async () => {
    start(destroy)
    site.policy = { ...site.policy, grants: [grantFor(rule)] }
    const effect = await asked()
    const [bob, bob2, carol] = [await keyOf('bob'), await keyOf('bob'), await keyOf('carol')]
    expect((await approve(effect, bob)).body.state).toBe('AWAITING_APPROVAL')
    expect([(await approve(effect, bob)).status, (await approve(effect, bob2)).status]).toEqual([403, 403])
    await site.run()
    expect(sent()).toBe(0)
    expect(site.notices('APPROVAL_PARTIAL')).toHaveLength(1)
    expect((await approve(effect, carol)).status).toBe(200)
    await site.run()
    expect([(await latest()).reason, sent()]).toEqual([expect.any(String), 1])
    expect((await latest()).approval?.given.map(({ by }) => by)).toEqual(['bob', 'carol'])
  })

  test('is never two accounts of the machine', async () => {
    start(destroy)
    const effect = await asked()
    const operations = new Operations({ ...site.ports, policy: () => site.policy, responders: site.links })
    const by = (account: string) =>
      operations.approve(effect.id, { principal: { name: `local:${account}`, via: 'local', roles: ['responder'] }, reason: 'x' })
    await expect(by('ana')).rejects.toMatchObject({ code: 'APPROVAL_OWN' })
    await by('dave')
    await expect(by('erin')).rejects.toMatchObject({ code: 'APPROVAL_TWICE' })
    expect((await approve(effect, await keyOf('DAVE'))).status).toBe(403)
    expect((await approve(effect, await keyOf('erin'))).status).toBe(200)
  })

  test('goes at once in an emergency, and everybody is told', async () => {
    start(destroy)
    const effect = await asked()
    expect(leads.acts).toHaveLength(0)
    expect((await approve(effect, await keyOf('ana'), { break_glass: true })).status).toBe(200)
    await site.run()
    expect([sent(), leads.acts.length > 0, site.notices('BREAK_GLASS').length]).toEqual([1, true, 1])
    expect(site.notices('BREAK_GLASS')[0]).toContain('ana alone: seen')
    expect((await latest()).approval?.given).toMatchObject([{ by: 'ana', breakGlass: true }])
  })

  test('an emergency lasts as long as the policy says', async () => {
    start(destroy)
    const effect = await asked()
    await stopActions(site.ports, 'bob', 'wait')
    await approve(effect, await keyOf('bob'), { break_glass: true })
    await site.run()
    site.now += 15 * MINUTE
    await new Operations({ ...site.ports, policy: () => site.policy, responders: site.links }).start('bob')
    await site.run()
    expect([(await latest()).state, sent()]).toEqual(['DENIED', 0])
  })
})

describe('a link', () => {
  const follow = (url: string, method = 'GET', form?: Record<string, string>) => {
    const body = form === undefined ? {} : { body: new URLSearchParams(form) }
    return app.request(new URL(url).pathname, { method, headers: { host: 'localhost' }, ...body })
  }
  const YES = { decision: 'approve', reason: 'spoke to the owner' }
  const urlTo = async (device = 'd1') => {
    await asked(device)
    return mails.at(-1)!.find(({ action }) => action.includes(device))!.url
  }
  const other = (person: string, effect: Effect, key = KEY, until = effect.approval!.until) =>
    `https://cordon.example/approve/${signLink({ person, effect: effect.id, digest: effect.approval!.digest, until }, key)}`

  test('is in the messages that only its person reads, asks, and acts when its form is sent', async () => {
    start()
    const url = await urlTo()
    expect(mails.flat().map(({ person }) => person)).toEqual(mails.flat().map(() => 'bob'))
    expect(JSON.stringify(await site.ledger.effects({ limit: 100 })) + JSON.stringify(site.changes)).not.toContain('/approve/')
    for (const method of ['GET', 'HEAD', 'GET', 'GET']) expect((await follow(url, method)).status).toBe(200)
    for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH']) expect((await follow(url, method, YES)).status).toBe(401)
    await site.passTo(START + 5 * MINUTE)
    expect(sent()).toBe(0)
    expect((await follow(url, 'POST', YES)).status).toBe(200)
    await site.run()
    expect([sent(), (await latest()).approval?.given]).toMatchObject([1, [{ by: 'bob', via: 'link', reason: 'spoke to the owner' }]])
    for (const method of ['GET', 'POST']) expect((await follow(url, method, method === 'POST' ? YES : undefined)).status).toBe(403)
  })

  test('leads to a page in which nothing runs, whatever an event says', async () => {
    start()
    const name = '"><script>alert(1)</script><img src=x onerror=y>'
    const facts = { 'device.name': name, 'device.mdm.id': 'm' }
    await site.alert(alertOn('d1', rule, { entities: [{ kind: 'device', id: 'd1', facts }] }))
    await site.run()
    const answer = await follow(mails.at(-1)![0]!.url)
    const page = await answer.text()
    expect(page).toContain('&lt;script&gt;alert(1)')
    expect(page).not.toMatch(/<script|<img|onerror=y>/)
    expect(page).not.toContain(KEY)
    expect(answer.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[^;]+'; form-action 'self'; frame-ancestors 'none'/,
    )
    expect([answer.headers.get('referrer-policy'), answer.headers.get('cache-control')]).toEqual(['no-referrer', 'no-store'])
  })

  test.each<[name: string, status: number, change: (url: string) => Promise<string>, form?: Record<string, string>]>([
    ['without a form', 400, async (url) => url, {}],
    ['without a reason', 400, async (url) => url, { decision: 'approve', reason: ' ' }],
    ['with more in its form than there is', 400, async (url) => url, { ...YES, person: 'ana' }],
    ['without a signature', 403, async (url) => url.replace(/\.[^.]+$/, '')],
    ['with another signature', 403, async (url) => url.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))],
    ['spelt otherwise', 403, async (url) => `${url}=`],
    ['with another person in it', 403, async (url) => edited(url, (said) => ({ ...said, person: 'carol' }))],
    ['with another action in it', 403, async (url) => edited(url, (said) => ({ ...said, effect: 'f'.repeat(32) }))],
    ['with more time in it', 403, async (url) => edited(url, (said) => ({ ...said, until: Number.MAX_SAFE_INTEGER }))],
    ['made with another key', 403, async () => other('bob', await latest(), 'k'.repeat(40))],
    [
      'of what was never shown',
      403,
      async () => other('bob', { ...(await latest()), approval: { ...(await latest()).approval!, digest: 'f'.repeat(64) } }),
    ],
    ['of an action with the digest of another', 403, async () => other('bob', { ...(await asked('d2')), id: (await latest('d1')).id })],
    ['of someone whom the policy does not know', 403, async () => other('mallory', await latest())],
    ['of the requester', 403, async () => other('ana', await latest())],
    [
      'whose time is over',
      403,
      async (url) => {
        site.now += HOUR
        return url
      },
    ],
    [
      'of someone who was struck out of the policy',
      403,
      async (url) => {
        site.policy = { ...site.policy, approvals: { ...site.policy.approvals, people: [] } }
        return url
      },
    ],
    [
      'of someone who may not decide about this any more',
      403,
      async (url) => {
        site.policy = { ...site.policy, approvals: { ...site.policy.approvals, people: [{ ...BOB, role: 'viewer' }] } }
        return url
      },
    ],
    [
      'of an earlier question about the same',
      403,
      async (url) => {
        rule = { ...rule, hash: 'e'.repeat(64), parts: [{ ...rule.parts[0]!, hash: 'e'.repeat(64) }] }
        await site.alert(alertOn('d1', rule, { key: 'again' }))
        return url
      },
    ],
  ])('%s is worth nothing', async (_, status, change, form = YES) => {
    start()
    const url = await change(await urlTo())
    expect((await follow(url, 'POST', form)).status).toBe(status)
    await site.passTo(site.now + 2 * HOUR)
    expect(sent()).toBe(0)
  })

  async function edited(url: string, change: (said: LinkClaims) => LinkClaims): Promise<string> {
    const [, head, body, signature] = /^(.*\/approve\/)(.*)\.(.*)$/.exec(url)!
    const said = change(JSON.parse(Buffer.from(body!, 'base64url').toString()) as LinkClaims)
    return `${head}${Buffer.from(JSON.stringify(said)).toString('base64url')}.${signature}`
  }
})

test('while nobody answers further people are told, and in the end it lapses and on-call hears of it', async () => {
  start()
  await asked()
  await site.passTo(START + 9 * MINUTE)
  const [first] = [pager.acts.length]
  expect([first, leads.acts.length]).toEqual([2, 0])
  await site.passTo(START + 11 * MINUTE)
  expect([pager.acts.length, leads.acts.length, site.notices('APPROVAL_UNANSWERED').length]).toEqual([4, 1, 1])
  await site.passTo(START + 61 * MINUTE)
  expect([(await latest()).state, site.notices('APPROVAL_EXPIRED').length]).toEqual(['EXPIRED', 1])
  expect([pager.acts.length, leads.acts.length, sent()]).toEqual([6, 2, 0])
})

test('whoever acknowledges the incident is left to it, and whoever resolves it calls the action off', async () => {
  start()
  const effect = await asked()
  const path = `/v1/incidents/${effect.incident}`
  expect((await post(`${path}/acknowledge`, await keyOf('eve', 'viewer'), { reason: 'x' })).status).toBe(403)
  expect((await post(`${path}/acknowledge`, await keyOf('eve', 'analyst'), { reason: 'on it' })).body.status).toBe('acknowledged')
  await site.passTo(START + 30 * MINUTE)
  expect([leads.acts.length, (await latest()).state]).toEqual([0, 'AWAITING_APPROVAL'])
  expect((await post(`${path}/resolve`, await keyOf('eve', 'analyst'), { reason: 'x' })).status).toBe(403)
  const bob = await keyOf('bob')
  expect((await post(`${path}/resolve`, bob, { reason: 'a test' })).body.status).toBe('resolved')
  expect((await post(`${path}/resolve`, bob, { reason: 'again' })).status).toBe(409)
  expect([(await latest()).state, sent()]).toEqual(['REJECTED', 0])
})

test('however approvals, refusals and undoing race, each is counted once, and what is sent was approved by as many as it takes', async () => {
  const people = ['bob', 'carol', 'dave', 'ana'] as const
  const move = fc.record({
    who: fc.constantFrom(...people),
    what: fc.constantFrom('approve', 'approve', 'approve', 'reject', 'undo', 'run'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 2, maxLength: 10 }), async (moves) => {
      start({ effect: 'destroy', reversible: false })
      const keys = new Map(await Promise.all(people.map(async (name) => [name, await keyOf(name)] as const)))
      const effect = await asked()
      await Promise.all(
        moves.map(({ who, what }) =>
          what === 'run'
            ? site.run()
            : post(`/v1/actions/${effect.id}/${what}`, keys.get(who), what === 'undo' ? { reason: 'x' } : answerTo(effect)),
        ),
      )
      await site.passTo(site.now + 2 * HOUR)
      const after = (await site.ledger.effect(effect.id))!
      const given = after.approval!.given.map(({ by }) => by)
      expect(new Set(given).size).toBe(given.length)
      expect(given).not.toContain('ana')
      expect(sent()).toBe(after.attempts > 0 ? 1 : 0)
      if (sent() > 0) expect(given).toHaveLength(2)
      expect(['AWAITING_APPROVAL', 'READY', 'CLAIMED']).not.toContain(after.state)
    }),
    { numRuns: 12 },
  )
})
