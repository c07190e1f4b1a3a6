import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'node:path'
import { expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { responderNamed, SHIPPED_RESPONDER_FILES } from '../../src/engine/responder-files.ts'
import { type Bench, HTTP_ANSWERS, responderKit } from './responder.ts'
import { startDefender } from './vendors/defender.ts'
import { startFalcon } from './vendors/falcon.ts'
import { startPagerDuty } from './vendors/pagerduty.ts'
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
