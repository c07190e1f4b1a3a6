import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'node:path'
import { expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { responderNamed, SHIPPED_RESPONDER_FILES } from '../../src/engine/responder-files.ts'
import { type Bench, HTTP_ANSWERS, responderKit } from './responder.ts'
import { startDefender } from './vendors/defender.ts'
import { startFalcon } from './vendors/falcon.ts'
import { startGraph } from './vendors/graph.ts'
import { startJamf } from './vendors/jamf.ts'
import { startJira } from './vendors/jira.ts'
import { startOkta } from './vendors/okta.ts'
import { startPagerDuty } from './vendors/pagerduty.ts'
import { startServiceNow } from './vendors/servicenow.ts'
import { startSlack } from './vendors/slack.ts'

/** Every shipped responder file against a strict stand-in for its vendor. */

const SECRET = 'canary-4d20c7-secret'
const CLIENT = { id: 'cordon-client', secret: SECRET }
const device = { kind: 'device', id: 'd1', facts: { 'device.name': 'pc-1' } }
const incident = { kind: 'incident', id: 'inc-7f3a', facts: {} }
const shared = { secrets: { KIT_SECRET: SECRET }, deliver: () => {} }
const secret = { env: 'KIT_SECRET' }
/** A token that is refused is exchanged, and the request repeated: 401 is no end. */
const answers = HTTP_ANSWERS.filter(({ status }) => status !== 401)

const user = { kind: 'user', id: 'ana', facts: { 'user.email': 'ana@example.com' } }
const PIN = '739104'

function graph(server: Awaited<ReturnType<typeof startGraph>>) {
  return {
    ...shared,
    ...{ server, answers, stop: server.stop },
    config: { url: server.url, allow_private: true, token_url: server.tokenUrl, client_id: CLIENT.id, client_secret: secret },
    reads: /^(GET \/v1.0\/|POST \/tenant\/oauth2\/v2.0\/token$)/,
  }
}

const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  async 'defender-isolate'() {
    const server = await startDefender(CLIENT)
    return {
      ...shared,
      ...{ server, target: device, answers, stop: server.stop },
      config: { url: server.url, allow_private: true, token_url: server.tokenUrl, client_id: CLIENT.id, client_secret: secret },
      acts: `POST /api/machines/${server.machine}/`,
      reads: /^(GET \/api\/|POST \/tenant\/oauth2\/v2.0\/token$)/,
      effect: ['isolated'],
      undo: ['released'],
    }
  },
  async 'falcon-contain'() {
    const server = await startFalcon(CLIENT)
    return {
      ...shared,
      ...{ server, target: device, answers, stop: server.stop },
      config: { url: server.url, allow_private: true, client_id: CLIENT.id, client_secret: secret },
      acts: 'POST /devices/entities/devices-actions/v2',
      reads: /^(GET \/devices\/|POST \/oauth2\/token$)/,
      effect: ['contained'],
      undo: ['lifted'],
    }
  },
  async 'okta-revoke-sessions'() {
    const server = await startOkta(SECRET)
    return {
      ...shared,
      ...{ server, target: user, stop: server.stop },
      config: { url: server.url, allow_private: true, token: secret, token_lifetime: '5m' },
      acts: 'DELETE /api/v1/users/',
      reads: /^GET \/api\/v1\//,
      effect: ['sessions ended'],
    }
  },
  async 'okta-suspend-user'() {
    const server = await startOkta(SECRET)
    return {
      ...shared,
      ...{ server, target: user, stop: server.stop },
      config: { url: server.url, allow_private: true, token: secret },
      acts: `POST /api/v1/users/${server.id}/lifecycle/`,
      reads: /^GET \/api\/v1\//,
      effect: ['suspended'],
      undo: ['unsuspended'],
    }
  },
  async 'entra-revoke-sessions'() {
    const server = await startGraph(CLIENT)
    return {
      ...graph(server),
      target: user,
      acts: `POST /v1.0/users/${server.userId}/revokeSignInSessions`,
      effect: ['sessions revoked'],
    }
  },
  async 'entra-disable-user'() {
    const server = await startGraph(CLIENT)
    return { ...graph(server), target: user, acts: `PATCH /v1.0/users/${server.userId}`, effect: ['disabled'], undo: ['enabled'] }
  },
  async 'intune-lock-device'() {
    const server = await startGraph(CLIENT)
    const target = { kind: 'device', id: 'd1', facts: { 'device.mdm.id': server.deviceId } }
    return { ...graph(server), target, acts: 'POST /v1.0/deviceManagement/', effect: ['locked'] }
  },
  async 'jamf-lock-device'() {
    const server = await startJamf(CLIENT, PIN)
    return {
      ...shared,
      ...{ server, answers, stop: server.stop },
      target: { kind: 'device', id: 'd1', facts: { 'device.mdm.id': server.udid } },
      secrets: { KIT_SECRET: SECRET, KIT_PIN: PIN },
      config: { url: server.url, allow_private: true, client_id: CLIENT.id, client_secret: secret, pin: { env: 'KIT_PIN' } },
      acts: 'POST /api/v2/mdm/commands',
      reads: /^(GET \/api\/|POST \/api\/v1\/oauth\/token$)/,
      effect: ['lock queued'],
    }
  },
  async 'servicenow-incident'() {
    const server = await startServiceNow('cordon', SECRET)
    return {
      ...shared,
      ...{ server, target: incident, stop: server.stop },
      config: { url: server.url, allow_private: true, user: 'cordon', password: secret },
      acts: 'POST /api/now/table/incident',
      reads: /^GET \/api\/now\/table\/incident$/,
      effect: ['created'],
      undo: ['resolved'],
    }
  },
  async 'jira-issue'() {
    const server = await startJira('cordon@example.com', SECRET)
    return {
      ...shared,
      ...{ server, target: incident, stop: server.stop },
      config: { url: server.url, allow_private: true, user: 'cordon@example.com', token: secret, project: 'SEC', done_transition: '31' },
      acts: 'POST /rest/api/3/issue',
      reads: /^GET \/rest\/api\/3\//,
      effect: ['created'],
      undo: ['closed'],
    }
  },
  async 'pagerduty-incident'() {
    const server = await startPagerDuty(SECRET)
    return {
      ...shared,
      ...{ server, target: incident, stop: server.stop },
      config: { url: server.url, allow_private: true, routing_key: secret },
      acts: 'POST /v2/enqueue',
      reads: /^HEAD \/$/,
      effect: ['opened'],
      undo: ['resolved'],
    }
  },
  async 'slack-notify'() {
    const server = await startSlack(SECRET)
    return {
      ...shared,
      ...{ server, target: incident, stop: server.stop },
      config: { url: server.url, allow_private: true, channel: 'C012345', token: secret },
      acts: 'POST /api/chat.postMessage',
      reads: /^GET \/api\//,
      effect: ['posted'],
    }
  },
}

const files = readdirSync(SHIPPED_RESPONDER_FILES).map((file) => parse(file).name)

const responders = files.map((name) => responderNamed(name, [SHIPPED_RESPONDER_FILES])!)

test('every shipped file has a bench here', () => {
  expect(files.toSorted()).toEqual(Object.keys(benches).toSorted())
})

test('the index of responders has every file, with its verb, effect and undo; the page of each, its settings', () => {
  const page = (name: string) => readFileSync(new URL(`../../docs/guides/responders/${name}.md`, import.meta.url), 'utf8')
  const rows = [...page('README').matchAll(/^\| \[([\w-]+)\]\((.+)\) \| `(.+)` \| (\w+) \| (yes|no) \|$/gm)].map((row) => row.slice(1))
  expect(rows).toEqual(
    responders.map(({ name, verb, effect, reversible }) => [name, `${name}.md`, verb, effect, reversible ? 'yes' : 'no']),
  )
  for (const { name, example } of responders)
    for (const key of Object.keys(parseYaml(example))) expect(page(name)).toMatch(new RegExp(`\\b${key}:`))
})

for (const responder of responders) responderKit(responder, benches[responder.name]!)
