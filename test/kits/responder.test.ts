import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startLabMdm } from '../../lab/servers/mdm.ts'
import { startLabPaging } from '../../lab/servers/paging.ts'
import { startLabTokens } from '../../lab/servers/tokens.ts'
import { RESPONDERS } from '../../src/responders/index.ts'
import { startCase } from './case-stand-in.ts'
import { startFaultProxy } from './fault-proxy.ts'
import { agentActs, egressActs, evidenceActs, HOST_ANSWERS, settingsActs, startHostStandIn } from './host-stand-in.ts'
import { startKeycloakStandIn } from './keycloak-stand-in.ts'
import { CLIENT, startOAuthServer } from './oauth-server.ts'
import { startOpenbaoStandIn } from './openbao-stand-in.ts'
import { type Bench, responderKit, startReceiver } from './responder.ts'
import { startInbox } from './responder-inbox.ts'
import { startMailbox } from './responder-mailbox.ts'
import { AUDIENCE, ISSUER, SIGNING_KEY, startSsfReceiver } from './ssf-receiver.ts'

const CANARY = 'canary-9b1f44'
const deliver = () => {}
const SESSION = { kind: 'agent_session', id: 'mac-1/cowork', facts: { 'device.id': 'mac-1', 'gen_ai.agent.name': 'cowork' } }

/** One Mac that answers through nanomdm's webhook, so long after it was woken. */
async function nanomdmBench({
  wake,
  config,
  secrets,
  ...expected
}: Pick<Bench, 'config' | 'secrets' | 'effect' | 'undo'> & { readonly wake: readonly [number, number] }): Promise<Bench> {
  const [apiKey, webhookKey] = [`${CANARY}-api`, `${CANARY}-hook`]
  const receiver = await startReceiver()
  const server = await startLabMdm({ apiKey, devices: ['UDID-1'], webhook: { url: receiver.url, key: webhookKey }, wake })
  return {
    server,
    config: {
      url: server.url,
      allow_private: true,
      api_key: { env: 'KIT_API_KEY' },
      webhook_key: { env: 'KIT_HOOK_KEY' },
      ...config,
    },
    secrets: { KIT_API_KEY: apiKey, KIT_HOOK_KEY: webhookKey, ...secrets },
    target: { kind: 'device', id: 'mac-1', facts: { 'device.mdm.id': 'UDID-1', 'device.name': 'mac-1' } },
    acts: 'PUT /v1/enqueue/UDID-1',
    reads: /^PUT \/v1\/enqueue\/cordon-check$/,
    ...expected,
    deliver: receiver.deliverTo,
    async stop() {
      await server.stop()
      await receiver.stop()
    },
  }
}

const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  'nanomdm-quarantine': () =>
    nanomdmBench({
      wake: [10, 40],
      config: { organization: 'Example' },
      secrets: {},
      effect: ['queued InstallProfile'],
      undo: ['queued RemoveProfile'],
    }),

  'nanomdm-lock-device': () =>
    nanomdmBench({
      // A locked Mac is asked nothing more, so what it said while nobody listened is lost: here it wakes when a killed Cordon is back.
      wake: [700, 750],
      config: { pin_key: { env: 'KIT_PIN_KEY' } },
      secrets: { KIT_PIN_KEY: `${CANARY}-${'0123456789'.repeat(3)}` },
      effect: ['queued DeviceLock'],
    }),

  async 'openbao-revoke-tokens'() {
    const rootToken = `${CANARY}-root`
    const server = await startLabTokens({ rootToken })
    for (const meta of [
      { device: 'mac-1', agent: 'cowork' },
      { device: 'mac-1', agent: 'cowork' },
      { device: 'mac-1', agent: 'claude' },
      { device: 'mac-2', agent: 'cowork' },
    ]) {
      server.mint(meta)
    }
    return {
      server,
      config: { url: server.url, allow_private: true, token: { env: 'KIT_TOKEN' } },
      secrets: { KIT_TOKEN: rootToken },
      target: { kind: 'agent_session', id: 'mac-1/cowork', facts: { 'device.id': 'mac-1', 'gen_ai.agent.name': 'cowork' } },
      acts: 'POST /v1/auth/token/revoke-accessor',
      reads: /^(GET \/v1\/auth\/token\/accessors|POST \/v1\/auth\/token\/lookup-accessor|POST \/v1\/sys\/capabilities-self)$/,
      effect: ['revoked', 'revoked'],
      deliver,
      stop: server.stop,
    }
  },

  async 'alertmanager-incident'() {
    const server = await startLabPaging()
    return {
      server,
      config: { url: server.url, allow_private: true, token: { env: 'KIT_TOKEN' }, labels: { team: 'soc' } },
      secrets: { KIT_TOKEN: `${CANARY}-bearer` },
      target: { kind: 'incident', id: 'inc-7f3a', facts: {} },
      acts: 'POST /api/v2/alerts',
      reads: /^GET \/api\/v2\//,
      effect: ['opened'],
      undo: ['resolved'],
      deliver,
      stop: server.stop,
    }
  },

  async webhook() {
    const secret = `whsec_${Buffer.from(`${CANARY}-0123456789abcdef`).toString('base64')}`
    const server = await startInbox(secret)
    return {
      server,
      config: { url: `${server.url}/hook`, allow_private: true, secret: { env: 'KIT_SECRET' } },
      secrets: { KIT_SECRET: secret },
      target: { kind: 'incident', id: 'inc-7f3a', facts: {} },
      acts: 'POST /hook',
      reads: /^HEAD \/hook$/,
      effect: ['delivered'],
      deliver,
      stop: server.stop,
    }
  },

  async 'smtp-notify'() {
    const password = `${CANARY}-mail`
    const server = await startMailbox({ user: 'cordon', password })
    return {
      server,
      config: {
        ...{ url: server.url, allow_private: true, starttls: false, user: 'cordon', password: { env: 'KIT_PASSWORD' } },
        ...{ from: 'cordon@example.com', to: ['oncall@example.com'] },
      },
      secrets: { KIT_PASSWORD: password },
      target: { kind: 'incident', id: 'inc-7f3a', facts: {} },
      acts: 'DATA',
      reads: /^(EHLO|AUTH)$/,
      effect: ['delivered'],
      answers: [
        { status: 451, kinds: ['retry'] },
        { status: 450, kinds: ['retry'] },
        ...[550, 552, 554].map((status) => ({ status, kinds: ['final'] as const })),
      ],
      deliver,
      stop: server.stop,
    }
  },

  async 'oauth-revoke-tokens'() {
    const server = await startOAuthServer()
    const folder = mkdtempSync(join(tmpdir(), 'cordon-tokens-'))
    const [mine, other] = [await server.mint(), await server.mint()]
    const tokens = join(folder, 'tokens.json')
    const live = new Set([mine])
    writeFileSync(
      tokens,
      JSON.stringify([
        { device: 'mac-1', agent: 'cowork', token: mine, hint: 'access_token' },
        { device: 'mac-2', agent: 'cowork', token: other, hint: 'access_token' },
      ]),
    )
    const proxy = await startFaultProxy(server.url, ({ path, body }, status) => {
      const token = new URLSearchParams(body).get('token') ?? ''
      // A server answers 200 to any token: only the first revocation of a live one is an effect.
      return path === '/token/revocation' && status === 200 && live.delete(token) ? { what: 'revoked', key: token } : undefined
    })
    return {
      server: proxy,
      config: { url: proxy.url, allow_private: true, client_id: CLIENT.id, client_secret: { env: 'KIT_CLIENT' }, tokens },
      secrets: { KIT_CLIENT: CLIENT.secret },
      target: { kind: 'agent_session', id: 'mac-1/cowork', facts: { 'device.id': 'mac-1', 'gen_ai.agent.name': 'cowork' } },
      acts: 'POST /token/revocation',
      reads: /^(GET \/\.well-known\/openid-configuration|POST \/token\/introspection)$/,
      effect: ['revoked'],
      deliver,
      async stop() {
        await proxy.stop()
        await server.stop()
        rmSync(folder, { recursive: true })
      },
    }
  },

  async 'openbao-revoke-leases'() {
    const token = `${CANARY}-root`
    const server = await startOpenbaoStandIn(token, ['db/creds/mac-1/a', 'db/creds/mac-1/b', 'db/creds/mac-10/c'], {})
    return {
      server,
      config: { url: server.url, allow_private: true, token: { env: 'KIT_TOKEN' }, prefixes: ['db/creds/{{device.id}}'] },
      secrets: { KIT_TOKEN: token },
      target: SESSION,
      acts: 'POST /v1/sys/leases/revoke-prefix/db/creds/mac-1',
      reads: /^(GET \/v1\/sys\/leases\/lookup\/db\/creds\/mac-1\/|POST \/v1\/sys\/capabilities-self)$/,
      effect: ['revoked prefix'],
      deliver,
      stop: server.stop,
    }
  },

  async 'openbao-rotate-keys'() {
    const token = `${CANARY}-root`
    const server = await startOpenbaoStandIn(token, [], { 'agent-mac-1': 3 })
    return {
      server,
      config: { url: server.url, allow_private: true, token: { env: 'KIT_TOKEN' }, keys: ['agent-{{device.id}}'] },
      secrets: { KIT_TOKEN: token },
      target: SESSION,
      acts: 'POST /v1/transit/keys/agent-mac-1/rotate',
      reads: /^(GET \/v1\/transit\/keys\/agent-mac-1|POST \/v1\/sys\/capabilities-self)$/,
      effect: ['rotated'],
      deliver,
      stop: server.stop,
    }
  },

  async 'keycloak-revoke-sessions'() {
    const secret = `${CANARY}-client`
    const server = await startKeycloakStandIn(secret)
    return {
      server,
      config: { url: server.url, allow_private: true, realm: 'corp', client_id: 'cordon', client_secret: { env: 'KIT_CLIENT' } },
      secrets: { KIT_CLIENT: secret },
      target: { kind: 'user', id: 'ana', facts: { 'user.name': 'ana' } },
      acts: 'POST /admin/realms/corp/users/u-1/logout',
      reads: /^(POST \/realms\/corp\/protocol\/openid-connect\/token|GET \/admin\/realms\/corp.*)$/,
      effect: ['signed out'],
      deliver,
      stop: server.stop,
    }
  },

  async 'keycloak-disable-user'() {
    const secret = `${CANARY}-client`
    const server = await startKeycloakStandIn(secret)
    return {
      server,
      config: { url: server.url, allow_private: true, realm: 'corp', client_id: 'cordon', client_secret: { env: 'KIT_CLIENT' } },
      secrets: { KIT_CLIENT: secret },
      target: { kind: 'user', id: 'ana', facts: { 'user.name': 'ana' } },
      acts: 'PUT /admin/realms/corp/users/u-1',
      reads: /^(POST \/realms\/corp\/protocol\/openid-connect\/token|GET \/admin\/realms\/corp.*)$/,
      effect: ['disabled'],
      undo: ['enabled'],
      deliver,
      stop: server.stop,
    }
  },

  async 'nftables-block-egress'() {
    const server = await startHostStandIn(egressActs())
    return {
      server,
      config: { ...server.host },
      secrets: {},
      target: { kind: 'device', id: 'mac-1', facts: { 'device.ip': '10.77.1.2, 2001:db8::2' } },
      acts: 'egress.block',
      reads: /^(ping|egress\.look)$/,
      effect: ['blocked', 'blocked'],
      undo: ['released', 'released'],
      answers: HOST_ANSWERS,
      deliver,
      stop: server.stop,
    }
  },

  async 'host-pause-agent'() {
    const server = await startHostStandIn(agentActs())
    return {
      server,
      config: { ...server.host },
      secrets: {},
      target: SESSION,
      acts: 'agent.pause',
      reads: /^(ping|agent\.look)$/,
      effect: ['stopped'],
      undo: ['continued'],
      answers: HOST_ANSWERS,
      deliver,
      stop: server.stop,
    }
  },

  async 'host-restrict-agent'() {
    const server = await startHostStandIn(settingsActs())
    return {
      server,
      config: { ...server.host },
      secrets: {},
      target: SESSION,
      acts: 'settings.restrict',
      reads: /^(ping|settings\.look)$/,
      effect: ['restricted'],
      undo: ['lifted'],
      answers: HOST_ANSWERS,
      deliver,
      stop: server.stop,
    }
  },

  async 'host-collect-evidence'() {
    const server = await startHostStandIn(evidenceActs())
    const folder = mkdtempSync(join(tmpdir(), 'cordon-host-'))
    return {
      server,
      config: { ...server.host, folder },
      secrets: {},
      target: { kind: 'device', id: 'mac-1', facts: { 'gen_ai.agent.name': 'cowork' } },
      acts: 'evidence.collect',
      reads: /^ping$/,
      effect: ['collected'],
      answers: HOST_ANSWERS,
      deliver,
      async stop() {
        await server.stop()
        rmSync(folder, { recursive: true })
      },
    }
  },

  async 'evidence-folder'() {
    const server = startCase()
    return {
      server,
      config: { url: server.url },
      secrets: {},
      target: { kind: 'incident', id: 'inc-7f3a', facts: {} },
      acts: 'caseFiles',
      reads: /^$/,
      effect: ['kept'],
      answers: [],
      caseFiles: server.caseFiles,
      local: true,
      deliver,
      stop: server.stop,
    }
  },

  async 'ssf-revoke-sessions'() {
    const token = `${CANARY}-stream`
    const server = await startSsfReceiver(token)
    return {
      server,
      config: {
        ...{ url: `${server.url}/ssf/events`, allow_private: true, token: { env: 'KIT_TOKEN' }, signing_key: { env: 'KIT_KEY' } },
        ...{ issuer: ISSUER, audience: AUDIENCE, key_id: 'cordon-1' },
      },
      secrets: { KIT_TOKEN: token, KIT_KEY: SIGNING_KEY },
      target: { kind: 'user', id: 'ana-1', facts: { 'user.id': 'ana-1', 'user.email': 'ana@example.com' } },
      acts: 'POST /ssf/events',
      reads: /^POST \/ssf\/events$/,
      effect: ['session-revoked'],
      deliver,
      stop: server.stop,
    }
  },

  async 'ssf-device-compliance'() {
    const token = `${CANARY}-stream`
    const server = await startSsfReceiver(token)
    return {
      server,
      config: {
        ...{ url: `${server.url}/ssf/events`, allow_private: true, token: { env: 'KIT_TOKEN' }, signing_key: { env: 'KIT_KEY' } },
        ...{ issuer: ISSUER, audience: AUDIENCE, key_id: 'cordon-1' },
      },
      secrets: { KIT_TOKEN: token, KIT_KEY: SIGNING_KEY },
      target: { kind: 'device', id: 'ana-1', facts: { 'user.id': 'ana-1', 'user.email': 'ana@example.com' } },
      acts: 'POST /ssf/events',
      reads: /^POST \/ssf\/events$/,
      effect: ['device-compliance-change'],
      undo: ['device-compliance-change'],
      deliver,
      stop: server.stop,
    }
  },
}

test('every responder has a bench here, and names are unique', () => {
  const names = RESPONDERS.map((responder) => responder.name)
  expect(new Set(names).size).toBe(names.length)
  expect([...names].sort()).toEqual(Object.keys(benches).sort())
})

test('the index of responders has every one of them, with its verb, effect and undo', () => {
  const page = readFileSync(new URL('../../docs/guides/responders/README.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| \[([\w-]+)\]\((.+)\) \| (.+) \| (.+) \| (.+) \| (?:real server|contract) \|$/gm)]
  expect(rows.map(([, name, link, verb, effect, undo]) => ({ name, link, verb, effect, undo }))).toEqual(
    RESPONDERS.map(({ name, verb, effect, reversible }) => ({
      name,
      link: `${name}.md`,
      verb: `\`${verb}\``,
      effect,
      undo: reversible ? 'yes' : 'no',
    })),
  )
})

for (const responder of RESPONDERS) responderKit(responder, benches[responder.name]!)
