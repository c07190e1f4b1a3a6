import { z } from 'zod'
import { formatTime } from '../event/time.ts'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify } from './failure.ts'
import { Keycloak, keycloak, TIMEOUT } from './keycloak.ts'
import type { ConnectedResponder, Observation, Responder } from './responder.ts'

const config = z.strictObject(keycloak).refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

type Details = {
  readonly user: string
  readonly username: string
  /** Milliseconds for which access tokens that were issued are good where nobody asks Keycloak. */
  readonly lifespan: number
}

/**
 * Signs a user out everywhere: sessions end, refresh tokens with them, and the user's not-before is set. Access tokens are JWTs that a service may check by
 * itself, so the effect is said to be residual until the last of them has expired.
 */
export const keycloakRevokeSessions = {
  name: 'keycloak-revoke-sessions',
  title: 'Sign a user out of Keycloak everywhere',
  verb: 'revoke_sessions',
  effect: 'revoke',
  reversible: false,
  target: 'user',
  needs: [],
  permissions: ['realm-management: manage-users, view-users, view-realm'],
  config,
  example: `url: https://login.example.com
realm: corp
client_id: cordon
client_secret: { env: KEYCLOAK_SECRET }
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
      const details: Details = { user: id, username, lifespan: await session.lifespan() }
      return { summary: `Sign ${username} out of realm ${settings.realm} everywhere`, calls: [`POST /users/${id}/logout`], details }
    },

    async run(plan, context) {
      const session = await server.session(context)
      await session.logOut(plan.details.user)
      return { user: plan.details.user }
    },

    async verify(plan, context): Promise<Observation> {
      const { user, username, lifespan } = plan.details
      const session = await server.session(context)
      const notBefore = Number((await session.user(user)).notBefore ?? 0) * 1_000
      const since = context.attempt?.at ?? context.now()
      // Keycloak counts in whole seconds. A session after the not-before is a new sign-in, and none of this effect's.
      if (notBefore < since - (since % 1_000)) {
        const left = await session.sessions(user)
        return { state: 'absent', proof: `${username} has ${left} session(s), and tokens from before ${formatTime(since)} are taken` }
      }
      const proof = `Keycloak takes no token of ${username} from before ${formatTime(notBefore)}`
      return { state: 'present', proof, residualUntil: notBefore + lifespan }
    },

    classify,
  }
}
