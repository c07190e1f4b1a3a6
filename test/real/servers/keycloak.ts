import { join } from 'node:path'
import { cached, freePort, type RealServer, run, startProcess } from './server.ts'

const VERSION = '26.4.0'
const REALM = 'corp'
const ADMINISTRATOR = { username: 'admin', password: 'test-admin-password' } as const
/** May do to users and sessions what a responder does, and read the events; nothing else. */
const ROLES = ['manage-users', 'view-users', 'manage-realm', 'view-realm', 'view-events', 'query-users', 'view-clients']

export interface RealKeycloak extends RealServer {
  readonly realm: string
  /** A confidential client with a service account that may manage users and sessions, and read events. */
  readonly automation: { readonly clientId: string; readonly secret: string }
  /** A public client whose users may sign in with their password (`grant_type=password`). */
  readonly app: { readonly clientId: string }
  readonly user: { readonly id: string; readonly username: string; readonly password: string }
  /** A call of the admin REST API below `/admin/realms/{realm}`, by the server's administrator. */
  admin(method: string, path: string, body?: object): Promise<Response>
  /** The token endpoint's answer. */
  token(form: Readonly<Record<string, string>>): Promise<Response>
  /** A sign-in of the realm's user, by password. */
  signIn(password?: string): Promise<Response>
}

/**
 * A real Keycloak, everything in memory: a realm with one user, one client and one service account, that keeps its events. The first start
 * of all fetches and builds it (minutes), later ones take some twenty seconds.
 */
export async function startKeycloak(): Promise<RealKeycloak> {
  const home = await install()
  const address = `127.0.0.1:${await freePort()}`
  const url = `http://${address}`
  const server = await startProcess({
    name: 'keycloak',
    // Not its script: that waits for a child, which would outlive it.
    program: 'java',
    args: async () => [
      ...['-Xms64m', '-Xmx512m', '-XX:TieredStopAtLevel=1', '--add-opens=java.base/java.util=ALL-UNNAMED'],
      ...['--add-opens=java.base/java.util.concurrent=ALL-UNNAMED', '--add-opens=java.base/java.security=ALL-UNNAMED'],
      ...[`-Dkc.home.dir=${home}`, `-Djboss.server.config.dir=${home}/conf`, '-Djava.util.logging.manager=org.jboss.logmanager.LogManager'],
      ...['-Dpicocli.disable.closures=true', '-cp', `${home}/lib/quarkus-run.jar`, 'io.quarkus.bootstrap.runner.QuarkusEntryPoint'],
      ...['start', '--optimized', '--http-enabled=true', '--hostname-strict=false', '--cache=local'],
      ...['--http-host=127.0.0.1', `--http-port=${address.split(':')[1]}`],
    ],
    env: { KC_BOOTSTRAP_ADMIN_USERNAME: ADMINISTRATOR.username, KC_BOOTSTRAP_ADMIN_PASSWORD: ADMINISTRATOR.password },
    patience: 400,
    url,
    ready: `${url}/realms/master`,
  })

  const tokenOf = (realm: string, form: Readonly<Record<string, string>>) =>
    fetch(`${url}/realms/${realm}/protocol/openid-connect/token`, { method: 'POST', body: new URLSearchParams(form) })
  /** A call of the admin REST API; a token of the administrator lives for a minute, so each call has its own. */
  const admin = async (method: string, path: string, body?: object) => {
    const { access_token } = (await (
      await tokenOf('master', { client_id: 'admin-cli', grant_type: 'password', ...ADMINISTRATOR })
    ).json()) as {
      access_token: string
    }
    const headers = { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' }
    return fetch(`${url}/admin/realms${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  }
  const inRealm = (method: string, path: string, body?: object) => admin(method, `/${REALM}${path}`, body)
  try {
    const { user, automation, app } = await makeRealm(admin)
    const token = (form: Readonly<Record<string, string>>) => tokenOf(REALM, form)
    return {
      ...server,
      realm: REALM,
      automation,
      app,
      user,
      admin: inRealm,
      token,
      signIn: (password = user.password) =>
        token({ client_id: app.clientId, grant_type: 'password', scope: 'openid', username: user.username, password }),
    }
  } catch (error) {
    await server.stop()
    throw error
  }
}

type Admin = (method: string, path: string, body?: object) => Promise<Response>

async function makeRealm(admin: Admin): Promise<Pick<RealKeycloak, 'user' | 'automation' | 'app'>> {
  const password = 'test-password'
  const automation = { clientId: 'cordon', secret: 'test-client-secret' }
  const app = { clientId: 'agent' }
  const events = { eventsEnabled: true, adminEventsEnabled: true, adminEventsDetailsEnabled: true }
  await done(admin('POST', '', { realm: REALM, enabled: true, accessTokenLifespan: 300, ...events }))
  const redirectUris = ['http://127.0.0.1/*']
  await done(admin('POST', `/${REALM}/clients`, { ...app, publicClient: true, directAccessGrantsEnabled: true, redirectUris }))
  await done(admin('POST', `/${REALM}/clients`, { ...automation, serviceAccountsEnabled: true, standardFlowEnabled: false }))
  const name = { username: 'alice', email: 'alice@corp.example', emailVerified: true, firstName: 'Alice', lastName: 'Liddell' }
  const credentials = [{ type: 'password', value: password, temporary: false }]
  await done(admin('POST', `/${REALM}/users`, { ...name, enabled: true, credentials }))

  const [client] = await listed(admin, `/${REALM}/clients?clientId=${automation.clientId}`)
  const [management] = await listed(admin, `/${REALM}/clients?clientId=realm-management`)
  const account = (await (await done(admin('GET', `/${REALM}/clients/${client!.id}/service-account-user`))).json()) as Named
  const roles = await listed(admin, `/${REALM}/clients/${management!.id}/roles`)
  const granted = roles.filter((role) => ROLES.includes(role.name ?? ''))
  await done(admin('POST', `/${REALM}/users/${account.id}/role-mappings/clients/${management!.id}`, granted))
  const [user] = await listed(admin, `/${REALM}/users?username=${name.username}&exact=true`)
  return { automation, app, user: { id: user!.id, username: name.username, password } }
}

interface Named {
  readonly id: string
  readonly name?: string
}

const listed = async (admin: Admin, path: string) => (await (await done(admin('GET', path))).json()) as readonly Named[]

async function done(answer: Promise<Response>): Promise<Response> {
  const response = await answer
  if (!response.ok) throw new Error(`${response.url} answers ${response.status} ${await response.text()}`)
  return response
}

/** The server's folder, built for a database in memory. */
function install(): Promise<string> {
  return cached(`keycloak-${VERSION}`, async (work) => {
    const artifact = `org.keycloak:keycloak-quarkus-dist:${VERSION}:zip`
    const copy = ['org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${work}`]
    await run('mvn', ['-q', '-B', ...copy], { timeout: 550_000 })
    await run('unzip', ['-q', join(work, `keycloak-quarkus-dist-${VERSION}.zip`), '-d', work])
    const built = join(work, `keycloak-${VERSION}`)
    await run(join(built, 'bin/kc.sh'), ['build', '--db=dev-mem'], { timeout: 550_000 })
    return built
  })
}
