import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { identity } from '../../src/event/id.ts'
import type { Endpoint } from '../../src/responders/endpoint.ts'
import { keycloakDisableUser } from '../../src/responders/keycloak-disable-user.ts'
import { keycloakRevokeSessions } from '../../src/responders/keycloak-revoke-sessions.ts'
import type { Responder, Target } from '../../src/responders/responder.ts'
import { Trial } from '../kits/responder.ts'
import { startKeycloak } from './servers/keycloak.ts'
import { inFullForm } from './servers/server.ts'

const { server, note } = await inFullForm('Keycloak', startKeycloak)
const key = identity('real', 'keycloak')

describe.skipIf(server === undefined)(`responders against Keycloak 26.4.0${note}`, () => {
  const keycloak = server!
  const target: Target = { kind: 'user', id: 'alice', facts: { 'user.name': keycloak?.user.username ?? '' } }
  const trialOf = (responder: unknown, find_by = 'user.name') =>
    new Trial(responder as Responder<Endpoint>, {
      ...{ url: keycloak.url, allow_private: true, realm: keycloak.realm, find_by },
      ...{ client_id: keycloak.automation.clientId, client_secret: { env: 'REAL_KEYCLOAK' } },
    })
  const signIn = async () => (await (await keycloak.signIn()).json()) as { access_token: string; refresh_token: string }
  const userinfo = async (token: string) =>
    (
      await fetch(`${keycloak.url}/realms/${keycloak.realm}/protocol/openid-connect/userinfo`, {
        headers: { authorization: `Bearer ${token}` },
      })
    ).status
  const refresh = (refresh_token: string) =>
    keycloak.token({ client_id: keycloak.app.clientId, grant_type: 'refresh_token', refresh_token })

  beforeAll(() => {
    process.env.REAL_KEYCLOAK = keycloak.automation.secret
  })
  afterAll(() => keycloak.stop())

  test('keycloak-revoke-sessions: session and refresh token end; what was issued is residual for its lifetime', async () => {
    const tokens = await signIn()
    expect(await userinfo(tokens.access_token)).toBe(200)
    const trial = trialOf(keycloakRevokeSessions)
    await trial.connected.check(trial.context(key))
    const plan = await trial.connected.plan(target, trial.context(key))
    expect(await trial.connected.verify(plan, trial.context(key, { attempt: { at: Date.now() } }))).toMatchObject({ state: 'absent' })
    const attempt = await trial.run(plan, key)
    const seen = await trial.settle(plan, key, attempt)
    expect(seen).toMatchObject({ state: 'present', residualUntil: expect.any(Number) })
    expect(Math.abs((seen as { residualUntil: number }).residualUntil - attempt.at - 300_000)).toBeLessThan(10_000)
    expect(await userinfo(tokens.access_token)).toBe(401)
    expect((await refresh(tokens.refresh_token)).status).toBe(400)
  })

  test('keycloak-disable-user: no sign-in until it is undone; nothing of the user is lost', async () => {
    const before = await (await keycloak.admin('GET', `/users/${keycloak.user.id}`)).json()
    const trial = trialOf(keycloakDisableUser)
    const plan = await trial.connected.plan(target, trial.context(key))
    const attempt = await trial.run(plan, key)
    expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
    expect((await keycloak.signIn()).status).toBe(400)

    const again = await trial.connected.plan(target, trial.context(key))
    expect(again).toMatchObject({ calls: [], details: { before: true } })
    await trial.run(again, key, 'undo')
    expect((await keycloak.signIn()).status, 'disabled by somebody else, and left so').toBe(400)

    const undone = await trial.run(plan, key, 'undo')
    expect(await trial.settle(plan, key, undone, 'verifyUndo')).toMatchObject({ state: 'absent' })
    expect((await keycloak.signIn()).status).toBe(200)
    expect(await (await keycloak.admin('GET', `/users/${keycloak.user.id}`)).json()).toMatchObject(before as object)
  })

  test('nobody, and a wrong secret, are told apart', async () => {
    const trial = trialOf(keycloakRevokeSessions)
    const nobody = { ...target, facts: { 'user.name': 'nobody' } }
    await expect(trial.connected.plan(nobody, trial.context(key))).rejects.toMatchObject({ code: 'RESPONDER_TARGET' })
    process.env.REAL_KEYCLOAK = 'wrong'
    const wrong = trialOf(keycloakRevokeSessions)
    expect(wrong.connected.classify(await wrong.connected.check(wrong.context(key)).catch((error: unknown) => error))).toMatchObject({
      kind: 'final',
    })
  })
})
