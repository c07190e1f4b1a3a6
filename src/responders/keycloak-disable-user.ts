import { z } from 'zod'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify } from './failure.ts'
import { Keycloak, keycloak, TIMEOUT } from './keycloak.ts'
import type { ConnectedResponder, Observation, Responder } from './responder.ts'

const config = z.strictObject(keycloak).refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

type Details = {
  readonly user: string
  readonly username: string
  readonly lifespan: number
  /** Disabled before, by somebody else: then there is nothing to do, and nothing to undo. */
  readonly before: boolean
}

/** Disables a user's account: no sign-in, no refresh. Undo enables it, unless it was disabled before Cordon came. */
export const keycloakDisableUser = {
  name: 'keycloak-disable-user',
  title: "Disable a user's account in Keycloak",
  verb: 'disable_user',
  effect: 'contain',
  reversible: true,
  target: 'user',
  needs: [],
  permissions: ['realm-management: manage-users, view-users, view-realm'],
  config,
  example: `url: https://login.example.com
realm: corp
client_id: cordon
client_secret: { env: KEYCLOAK_SECRET }
find_by: user.email
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const server = new Keycloak(settings)

  return {
    async check(context) {
      await (await server.session(context)).lifespan()
    },

    async plan(target, context) {
      const name = server.nameOf(target)
      const session = await server.session(context)
      const { id, username } = await session.find(name)
      const before = (await session.user(id)).enabled === false
      const details: Details = { user: id, username, lifespan: await session.lifespan(), before }
      const summary = before
        ? `${username} is disabled in realm ${settings.realm} already`
        : `Disable ${username} in realm ${settings.realm}`
      return { summary, calls: before ? [] : [`PUT /users/${id} enabled: false`], details }
    },

    async run(plan, context) {
      if (plan.details.before) return { user: plan.details.user, already: true }
      const session = await server.session(context)
      // Keycloak replaces the whole user: what is left out may be lost.
      const user = await session.user(plan.details.user)
      await session.write(plan.details.user, { ...user, enabled: false })
      return { user: plan.details.user }
    },

    async verify(plan, context): Promise<Observation> {
      const { user, username, lifespan } = plan.details
      const session = await server.session(context)
      if ((await session.user(user)).enabled !== false) return { state: 'absent', proof: `Keycloak says that ${username} is enabled` }
      const residualUntil = (context.attempt?.at ?? context.now()) + lifespan
      return { state: 'present', proof: `Keycloak says that ${username} is disabled`, residualUntil }
    },

    async undo(plan, context) {
      if (plan.details.before) return { user: plan.details.user, left: true }
      const session = await server.session(context)
      const user = await session.user(plan.details.user)
      if (user.enabled === false) await session.write(plan.details.user, { ...user, enabled: true })
      return { user: plan.details.user }
    },

    async verifyUndo(plan, context): Promise<Observation> {
      const { user, username, before } = plan.details
      if (before) return { state: 'absent', proof: `${username} was disabled before, by somebody else, and is left so` }
      const enabled = (await (await server.session(context)).user(user)).enabled === true
      return { state: enabled ? 'absent' : 'present', proof: `Keycloak says that ${username} is ${enabled ? 'enabled' : 'disabled'}` }
    },

    classify,
  }
}
