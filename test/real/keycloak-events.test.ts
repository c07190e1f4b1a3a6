import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/engine/config.ts'
import { openKeys } from '../../src/engine/door/keys.ts'
import { type Engine, startEngine } from '../../src/engine/engine.ts'
import type { Event } from '../../src/event/event.ts'
import { getPath } from '../../src/event/json.ts'
import { eventsIn } from '../kits/event-log.ts'
import { keyFieldProblems } from '../kits/key-fields.ts'
import { startKeycloak } from './servers/keycloak.ts'
import { freePort, inFullForm } from './servers/server.ts'

const { server, note } = await inFullForm('Keycloak', startKeycloak)

describe.skipIf(server === undefined)(`Keycloak's events, polled as the guide says${note}`, () => {
  const keycloak = server!
  let folder: string
  let data: string
  let engine: Engine
  let ingest: { readonly url: string; readonly token: string }
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cordon-real-keycloak-'))
    data = join(folder, 'data')
    const port = await freePort()
    ingest = {
      url: `http://127.0.0.1:${port}/v1/events?source=keycloak.events`,
      token: openKeys(join(data, 'tokens.json')).fresh!.ingest,
    }
    const config = { data, rules: [], listen: { ingest: { port }, api: { port: 0 } } }
    writeFileSync(join(folder, 'cordon.yml'), JSON.stringify(config))
    engine = await startEngine(loadConfig(join(folder, 'cordon.yml')), {
      onAlert: () => {},
      onChange: () => {},
      onError: (where, problem) => console.warn(where, problem),
      onNote: () => {},
    })
  })
  afterAll(async () => {
    await engine.stop()
    await keycloak.stop()
    rmSync(folder, { recursive: true })
  })

  /** One round of a poller: what the admin API lists, posted as it is. */
  async function poll(list: 'events' | 'admin-events'): Promise<{ readonly accepted: number; readonly duplicates: number }> {
    const { clientId: client_id, secret: client_secret } = keycloak.automation
    const granted = await keycloak.token({ grant_type: 'client_credentials', client_id, client_secret })
    const { access_token } = (await granted.json()) as { access_token: string }
    const listed = await fetch(`${keycloak.url}/admin/realms/${keycloak.realm}/${list}?max=1000`, {
      headers: { authorization: `Bearer ${access_token}` },
    })
    const body = await listed.text()
    const taken = await fetch(ingest.url, { method: 'POST', headers: { authorization: `Bearer ${ingest.token}` }, body })
    expect(taken.status).toBe(200)
    const answer = (await taken.json()) as { accepted: number; duplicates: number; dead_lettered: number }
    expect(answer.dead_lettered).toBe(0)
    return answer
  }

  const stored = async (service: string) =>
    (await eventsIn(data)).filter(({ logsource }) => logsource.some((tag) => tag.product === 'keycloak' && tag.service === service))
  const told = (events: readonly Event[], ...paths: readonly string[]) => events.map(({ ecs }) => paths.map((path) => getPath(ecs, path)))

  test('a sign-in, one with a wrong password and one of a disabled user are stored, each once, with the key fields', async () => {
    const { user, app } = keycloak
    const before = Date.now()
    expect((await keycloak.signIn()).status).toBe(200)
    expect((await keycloak.signIn('not-the-password')).status).toBe(401)
    await poll('events')
    expect((await keycloak.admin('PUT', `/users/${user.id}`, { enabled: false })).status).toBe(204)
    expect((await keycloak.signIn()).status).toBe(400)
    expect(await poll('events'), 'the second round lists the first again').toMatchObject({ duplicates: expect.toSatisfy((n) => n >= 2) })

    const signIns = (await stored('user_events')).filter(({ ecs }) => getPath(ecs, 'service.id') === app.clientId)
    const who = [user.id, user.username, '127.0.0.1']
    const paths = ['event.action', 'event.outcome', 'event.reason', 'user.id', 'user.name', 'source.ip']
    expect(told(signIns, ...paths).toSorted()).toEqual([
      ['LOGIN', 'success', undefined, ...who],
      ['LOGIN_ERROR', 'failure', 'invalid_user_credentials', ...who],
      ['LOGIN_ERROR', 'failure', 'user_disabled', ...who],
    ])
    for (const event of signIns) {
      expect(event.time).toBeGreaterThanOrEqual(before)
      expect(event.logsource).toContainEqual({ product: 'keycloak', service: 'user_events', category: 'authentication' })
    }
  })

  test('what an administrator did to a user is stored, and no password that the server kept', async () => {
    const { user } = keycloak
    const password = 'another-password-4711'
    const credential = { type: 'password', value: password, temporary: false }
    expect((await keycloak.admin('PUT', `/users/${user.id}/reset-password`, credential)).status).toBe(204)
    expect((await keycloak.admin('POST', `/users/${user.id}/logout`)).status).toBe(204)
    await poll('admin-events')

    const acts = (await stored('admin_events')).filter(({ ecs }) => getPath(ecs, 'user.target.id') === user.id)
    const actions = told(acts, 'event.action', 'event.outcome', 'source.ip')
    expect(actions).toContainEqual(['ACTION_USER', 'success', '127.0.0.1'])
    expect(actions).toContainEqual(['UPDATE_USER', 'success', '127.0.0.1'])
    expect(JSON.stringify(await eventsIn(data))).not.toContain(password)
  })

  test('every event that the server made has the key fields', async () => {
    const events = await eventsIn(data)
    expect(events.length).toBeGreaterThan(5)
    expect(events.flatMap(keyFieldProblems)).toEqual([])
  })
})
