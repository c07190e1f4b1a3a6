import { z } from 'zod'
import { isObject, type JsonObject, parseForeignObject } from '../event/json.ts'
import { below, type Endpoint, endpoint } from './endpoint.ts'
import { statusFailure, VendorError } from './failure.ts'
import type { HttpResponse } from './http.ts'
import type { ResponderContext } from './responder.ts'
import { excerpt, readSecret, type SecretRef, secretRef } from './secret.ts'

/** What the configuration of every responder says of the OpenBao that it calls. */
export const openbao = {
  ...endpoint,
  token: secretRef.describe("Cordon's own OpenBao token"),
  namespace: z.string().min(1).optional().describe('OpenBao namespace'),
}
type Settings = Endpoint & { readonly token: SecretRef; readonly namespace?: string | undefined }

export type Caller = Pick<ResponderContext, 'http' | 'signal'>

const REQUEST_TIMEOUT = 10_000
/** 36 characters an accessor: room for some 400,000. */
const LIST_BYTES = 16 * 1024 * 1024

/** OpenBao's HTTP API with one token (docs: /api-docs). */
export class Bao {
  readonly #settings: Settings
  readonly #token: string

  /** @throws CordonError `SECRET_MISSING` */
  constructor(settings: Settings) {
    this.#settings = settings
    this.#token = readSecret(settings.token)
  }

  call(context: Caller, method: 'GET' | 'POST', path: string, body?: Readonly<Record<string, unknown>>): Promise<HttpResponse> {
    const { namespace } = this.#settings
    return context.http.request({
      method,
      url: below(this.#settings, `v1/${path}`),
      headers: {
        'x-vault-token': this.#token,
        'x-vault-request': 'true',
        ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      timeout: REQUEST_TIMEOUT,
      maxBytes: LIST_BYTES,
      signal: context.signal,
    })
  }

  /** What an answer holds. @throws VendorError where it is no success of OpenBao's */
  data(response: HttpResponse): JsonObject {
    if (response.status !== 200) throw this.failure(response)
    const { data } = parseForeignObject(response.body)
    if (!isObject(data))
      throw new VendorError(
        { kind: 'final', reason: 'the answer is not one of OpenBao: it has no data' },
        'does url lead to OpenBao itself?',
      )
    return data
  }

  failure(response: HttpResponse): VendorError {
    const hint = response.status === 403 ? 'is the token of Cordon still valid, and does it have the policy of the guide?' : undefined
    return new VendorError(statusFailure(response, `OpenBao answers ${response.status} ${excerpt(response.body, [this.#token])}`), hint)
  }

  /**
   * Checks that the token has a capability at each path.
   *
   * @param needed path → capability
   * @param guide the page of docs/guides/responders that has the policy
   * @throws VendorError naming what is missing
   */
  async demand(context: Caller, needed: Readonly<Record<string, string>>, guide: string): Promise<void> {
    const data = this.data(await this.call(context, 'POST', 'sys/capabilities-self', { paths: Object.keys(needed) }))
    const held = (path: string) => new Set<unknown>(Array.isArray(data[path]) ? data[path] : [])
    const missing = Object.entries(needed).filter(([path, capability]) => !held(path).has(capability) && !held(path).has('root'))
    if (missing.length === 0) return
    const lines = missing.map(([path, capability]) => `${path} (${capability})`).join(', ')
    throw new VendorError(
      { kind: 'final', reason: `Cordon's OpenBao token may not use ${lines}` },
      `attach the policy of docs/guides/responders/${guide}.md`,
    )
  }
}
