import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { getText, isObject, type JsonObject, parseForeignJson, parseForeignObject } from '../event/json.ts'
import { rememberIssued } from '../event/secrets.ts'
import { below, type Endpoint, endpoint } from './endpoint.ts'
import { statusFailure, VendorError } from './failure.ts'
import type { HttpResponse } from './http.ts'
import type { ResponderContext, Target } from './responder.ts'
import { excerpt, readSecret, type SecretRef, secretRef } from './secret.ts'

/** What the configuration of every responder says of the Keycloak that it calls. */
export const keycloak = {
  ...endpoint,
  realm: z
    .string()
    .regex(/^[\w.-]+$/)
    .describe('realm of the users'),
  client_id: z.string().min(1).describe('confidential client of that realm with a service account'),
  client_secret: secretRef,
  find_by: z
    .enum(['user.name', 'user.email', 'user.id'])
    .default('user.name')
    .describe("which fact is the user's name at Keycloak: its username, its e-mail address or its id there"),
}
type Settings = Endpoint & {
  readonly realm: string
  readonly client_id: string
  readonly client_secret: SecretRef
  readonly find_by: 'user.name' | 'user.email' | 'user.id'
}
export type Caller = Pick<ResponderContext, 'http' | 'signal'>

const REQUEST_TIMEOUT = 10_000
/** For all of a step. */
export const TIMEOUT = 30_000

/** Keycloak's admin REST API with a service account's token, a fresh one for each step. */
export class Keycloak {
  readonly #settings: Settings
  readonly #secret: string

  /** @throws CordonError `SECRET_MISSING` */
  constructor(settings: Settings) {
    this.#settings = settings
    this.#secret = readSecret(settings.client_secret)
  }

  /** Signs in, for the calls of one step. */
  async session(context: Caller): Promise<KeycloakSession> {
    const { realm, client_id } = this.#settings
    const response = await context.http.request({
      method: 'POST',
      url: below(this.#settings, `realms/${realm}/protocol/openid-connect/token`),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret: this.#secret }).toString(),
      timeout: REQUEST_TIMEOUT,
      signal: context.signal,
    })
    const token = response.status === 200 ? getText(parseForeignObject(response.body), 'access_token') : undefined
    if (token === undefined)
      throw failure(response, [this.#secret], 'are realm, client_id and client_secret right, and may the client use its service account?')
    return new KeycloakSession(this.#settings, context, rememberIssued(token), [this.#secret, token])
  }

  /** By what the target is called at Keycloak. @throws CordonError `RESPONDER_TARGET` */
  nameOf({ kind, id, facts }: Target): string {
    const { find_by } = this.#settings
    const name = facts[find_by] ?? (find_by === 'user.id' ? id : undefined)
    if (name === undefined || name === '') {
      throw new CordonError('RESPONDER_TARGET', `${kind} ${id} lacks ${find_by}`, { hint: 'set find_by to what is known of your users' })
    }
    return name
  }
}

export class KeycloakSession {
  readonly #settings: Settings
  readonly #context: Caller
  readonly #token: string
  readonly #secrets: readonly string[]

  constructor(settings: Settings, context: Caller, token: string, secrets: readonly string[]) {
    this.#settings = settings
    this.#context = context
    this.#token = token
    this.#secrets = secrets
  }

  /** The one user of that name. @throws CordonError `RESPONDER_TARGET` if there is none, or more than one */
  async find(name: string): Promise<{ readonly id: string; readonly username: string }> {
    const { find_by, realm } = this.#settings
    if (find_by === 'user.id') {
      const user = await this.user(name)
      return { id: name, username: getText(user, 'username') ?? name }
    }
    const key = find_by === 'user.email' ? 'email' : 'username'
    const listed = parseForeignJson((await this.#call('GET', `/users?${new URLSearchParams({ [key]: name, exact: 'true' })}`)).body)
    const [user, ...others] = Array.isArray(listed) ? listed.filter(isObject) : []
    const id = user === undefined ? undefined : getText(user, 'id')
    if (user === undefined || id === undefined || others.length > 0) {
      throw new CordonError(
        'RESPONDER_TARGET',
        `realm ${realm} has ${others.length > 0 ? 'more than one' : 'no'} user with ${key} "${name}"`,
      )
    }
    return { id, username: getText(user, 'username') ?? name }
  }

  async user(id: string): Promise<JsonObject> {
    return parseForeignObject((await this.#call('GET', `/users/${encodeURIComponent(id)}`)).body)
  }

  async write(id: string, user: JsonObject): Promise<void> {
    await this.#call('PUT', `/users/${encodeURIComponent(id)}`, user)
  }

  /** Ends the user's sessions, and sets the user's not-before: no token issued until now is taken by Keycloak any more. */
  async logOut(id: string): Promise<void> {
    await this.#call('POST', `/users/${encodeURIComponent(id)}/logout`, {})
  }

  async sessions(id: string): Promise<number> {
    const listed = parseForeignJson((await this.#call('GET', `/users/${encodeURIComponent(id)}/sessions`)).body)
    return Array.isArray(listed) ? listed.length : Number.NaN
  }

  /** Milliseconds for which an access token that was issued is good where Keycloak is not asked. */
  async lifespan(): Promise<number> {
    return Number(parseForeignObject((await this.#call('GET', '')).body).accessTokenLifespan ?? 0) * 1_000
  }

  async #call(method: 'GET' | 'POST' | 'PUT', path: string, body?: JsonObject): Promise<HttpResponse> {
    const response = await this.#context.http.request({
      method,
      url: below(this.#settings, `admin/realms/${this.#settings.realm}${path}`),
      headers: { authorization: `Bearer ${this.#token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      timeout: REQUEST_TIMEOUT,
      signal: this.#context.signal,
    })
    if (response.status >= 200 && response.status < 300) return response
    const hint = response.status === 403 ? 'give the service account the roles of the guide (realm-management)' : undefined
    throw failure(response, this.#secrets, hint)
  }
}

function failure(response: HttpResponse, secrets: readonly string[], hint: string | undefined): VendorError {
  return new VendorError(statusFailure(response, `Keycloak answers ${response.status} ${excerpt(response.body, secrets)}`), hint)
}
