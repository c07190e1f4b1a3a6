import { CordonError, messageOf } from '../../event/error.ts'
import { getText, parseForeignObject } from '../../event/json.ts'
import { rememberIssued } from '../../event/secrets.ts'
import { below } from '../endpoint.ts'
import { statusFailure, VendorError } from '../failure.ts'
import type { HttpRequest, HttpResponse } from '../http.ts'
import type { Failure, ResponderContext } from '../responder.ts'
import { excerpt } from '../secret.ts'
import { compileTemplate, type TemplateData } from '../template.ts'
import type { Auth, Definition } from './definition.ts'
import { type Answer, answerOf, holds } from './judge.ts'
import { Pace } from './pace.ts'
import { placeHeader } from './place.ts'
import type { Settings } from './settings.ts'

export type Caller = Pick<ResponderContext, 'http' | 'signal'>
/** A request whose values are in place. `path` is below the vendor's address. */
export interface Call {
  readonly method: HttpRequest['method']
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** An answer, as it came. */
export interface Reply extends Answer {
  readonly response: HttpResponse
}

/** What is taken off a token's life: it must outlive the request that it is for. */
const TOKEN_MARGIN = 60_000
/** Where the vendor does not say how long a token lives. Milliseconds. */
const TOKEN_LIFE = 300_000

/** Talks to one vendor with its credentials: within its limits, every answer judged as its file says. */
export class Client {
  readonly #definition: Definition
  readonly #config: Settings
  /** Settings and secrets, as templates name them. */
  readonly #data: TemplateData
  readonly #secrets: readonly string[]
  readonly #pace: Pace
  #token: { readonly value: string; readonly until: number } | undefined

  constructor(definition: Definition, config: Settings, data: TemplateData, secrets: readonly string[]) {
    this.#definition = definition
    this.#config = config
    this.#data = data
    this.#secrets = [...secrets, ...secrets.map((secret) => Buffer.from(secret).toString('base64'))]
    this.#pace = new Pace(definition.limits)
  }

  /**
   * Sends one request. A token that the vendor no longer takes is exchanged once: what is refused for want of one was not done.
   *
   * @returns whatever was answered: {@link accept} judges
   * @throws VendorError `retry` where a limit of the file leaves no room, or no token is to be had; CordonError as the HTTP client does
   */
  async send(caller: Caller, call: Call): Promise<Reply> {
    const held = this.#token
    let response = await this.#sendOnce(caller, call)
    if (response.status === 401 && held !== undefined) {
      if (this.#token === held) this.#token = undefined
      response = await this.#sendOnce(caller, call)
    }
    return { ...answerOf(response), response }
  }

  /**
   * Takes an answer as success, and says whether the vendor calls it done before.
   *
   * @throws VendorError for every other answer
   */
  accept(reply: Reply): { readonly earlier: boolean } {
    const rule = this.#definition.errors.find(({ when }) => holds(when, reply, { data: this.#data }))
    if (rule?.means === 'done') return { earlier: true }
    if (rule === undefined && isSuccess(reply)) return { earlier: false }
    throw this.#refusal(reply.response, `the vendor answers ${reply.status}`, rule?.means, rule?.hint)
  }

  /** Whether anything answers: for vendors that let nobody ask without acting. */
  async reach(caller: Caller): Promise<void> {
    await this.#send(caller, { method: 'HEAD', url: this.#config.url, timeout: this.#definition.timeout })
  }

  async #sendOnce(caller: Caller, { method, path, headers, body }: Call): Promise<HttpResponse> {
    const credentials = await this.#credentials(caller)
    return this.#send(caller, {
      method,
      url: below(this.#config, path.slice(1)),
      headers: { accept: 'application/json', ...headers, ...credentials },
      ...(body === undefined ? {} : { body }),
      timeout: this.#definition.timeout,
    })
  }

  #send(caller: Caller, request: Omit<HttpRequest, 'signal'>): Promise<HttpResponse> {
    const wait = this.#pace.take(Date.now())
    if (wait > 0) {
      const reason = `the limit of ${this.#definition.name} is reached (${this.#definition.limits.map(({ calls, per }) => `${calls} calls in ${per / 1000} s`).join(', ')})`
      throw new VendorError({ kind: 'retry', reason, after: wait })
    }
    return caller.http.request({ ...request, signal: caller.signal })
  }

  async #credentials(caller: Caller): Promise<Record<string, string>> {
    const { auth } = this.#definition
    if (auth === undefined) return {}
    if ('bearer' in auth) return { authorization: `Bearer ${this.#header(auth.bearer)}` }
    if ('basic' in auth) return { authorization: basic(this.#text(auth.basic.user), this.#text(auth.basic.password)) }
    if ('header' in auth) return { [auth.header.name.toLowerCase()]: this.#header(auth.header.value) }
    if (this.#token === undefined || this.#token.until <= Date.now()) this.#token = await this.#issue(caller, auth.oauth2)
    return { authorization: `Bearer ${this.#token.value}` }
  }

  /** RFC 6749 section 4.4. Nothing has been asked of the vendor yet: no failure here leaves an outcome unknown. */
  async #issue(caller: Caller, oauth2: Extract<Auth, { oauth2: unknown }>['oauth2']): Promise<{ value: string; until: number }> {
    const { client_id, client_secret, scope, token_path, client } = oauth2
    const [id, secret] = [this.#text(client_id), this.#text(client_secret)]
    const fields = new URLSearchParams({ grant_type: 'client_credentials', ...(scope === undefined ? {} : { scope: this.#text(scope) }) })
    if (client === 'body') {
      fields.set('client_id', id)
      fields.set('client_secret', secret)
    }
    let response: HttpResponse
    try {
      response = await this.#send(caller, {
        method: 'POST',
        url: token_path === undefined ? String(this.#config.token_url) : below(this.#config, token_path.slice(1)),
        headers: {
          accept: 'application/json',
          'content-type': 'application/x-www-form-urlencoded',
          ...(client === 'basic' ? { authorization: basic(id, secret) } : {}),
        },
        body: fields.toString(),
        timeout: this.#definition.timeout,
      })
    } catch (error) {
      if (error instanceof CordonError && error.code.startsWith('HTTP_') && error.code !== 'HTTP_REFUSED_HOST')
        throw new VendorError({ kind: 'retry', reason: `no access token: ${messageOf(error)}` })
      throw error
    }
    if (!isSuccess(response)) {
      const means = response.status >= 500 ? 'retry' : undefined
      throw this.#refusal(
        response,
        `no access token: the vendor answers ${response.status}`,
        means,
        'check the client, its secret and its rights',
      )
    }
    return tokenOf(response)
  }

  #refusal(response: HttpResponse, what: string, means: 'retry' | 'unknown' | 'final' | undefined, hint?: string): VendorError {
    const reason = `${what} ${excerpt(response.body, this.#token === undefined ? this.#secrets : [...this.#secrets, this.#token.value])}`
    const byStatus = statusFailure(response, reason)
    const failure: Failure = means === undefined ? byStatus : means === 'retry' ? { ...byStatus, kind: 'retry' } : { kind: means, reason }
    return new VendorError(failure.kind === 'retry' ? this.#until(failure, response) : failure, hint)
  }

  /** Some vendors say when instead of how long. */
  #until(failure: Extract<Failure, { kind: 'retry' }>, { headers }: HttpResponse): Failure {
    const seconds = Number(headers[this.#definition.reset_header?.toLowerCase() ?? ''])
    if (failure.after !== undefined || !Number.isFinite(seconds)) return failure
    return { ...failure, after: Math.max(0, seconds * 1000 - Date.now()) }
  }

  #text(template: string): string {
    return compileTemplate(template).render(this.#data)
  }

  #header(template: string): string {
    return placeHeader(template, this.#data)
  }
}

export function isSuccess({ status }: Pick<Answer, 'status'>): boolean {
  return status >= 200 && status < 300
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function tokenOf(response: HttpResponse): { value: string; until: number } {
  const issued = parseForeignObject(response.body)
  const value = getText(issued, 'access_token')
  if (value === undefined || !/^[\x21-\x7e]+$/.test(value))
    throw new VendorError({ kind: 'final', reason: 'the answer of the token endpoint has no access_token' }, 'does token_url lead to it?')
  const seconds = Number(getText(issued, 'expires_in'))
  const life = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : TOKEN_LIFE
  return { value: rememberIssued(value), until: Date.now() + Math.max(0, life - TOKEN_MARGIN) }
}
