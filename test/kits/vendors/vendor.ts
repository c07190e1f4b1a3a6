import { z } from 'zod'
import { type LabAnswer, type LabEffect, type LabRequest, type LabServer, serveLab } from '../../../lab/servers/server.ts'

/** One operation of a vendor's API. What the schemas do not know is refused, as the strictest vendor would. */
export interface Operation {
  /** `POST /api/machines/:id/isolate`. */
  readonly on: string
  /** Default: none allowed. */
  readonly query?: z.ZodType
  /** Of a JSON body. Default: no body allowed. */
  readonly body?: z.ZodType
  readonly answer: (call: VendorCall) => LabAnswer
}

export interface VendorCall {
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  readonly body: unknown
}

export type Recorder = (effect: Omit<LabEffect, 'at'>) => void

/** Whether a request is authorised; an answer that says why not otherwise. */
export type Guard = (request: LabRequest) => LabAnswer | undefined

const NONE = z.strictObject({})

/** A contract server: strict in path, query, body and credentials, with the faults that every lab server has. */
export function serveVendor(
  guard: Guard,
  operations: (record: Recorder) => readonly Operation[],
  open: readonly string[] = [],
): Promise<LabServer> {
  return serveLab({}, (record) => {
    const known = operations(record).map((operation) => ({ operation, match: matcher(operation.on) }))
    return (request) => {
      const line = `${request.method} ${request.path}`
      const refused = open.includes(line) ? undefined : guard(request)
      if (refused !== undefined) return refused
      for (const { operation, match } of known) {
        const params = match(request)
        if (params === undefined) continue
        return answerOf(operation, params, request)
      }
      return refusal(404, `no operation ${line}`)
    }
  })
}

function answerOf(operation: Operation, params: Readonly<Record<string, string>>, request: LabRequest): LabAnswer {
  const query = (operation.query ?? NONE).safeParse(Object.fromEntries(request.query))
  if (!query.success) return refusal(400, z.prettifyError(query.error))
  if (operation.body === undefined) {
    if (request.body !== '') return refusal(400, 'no body is allowed')
    return operation.answer({ params, query: query.data as Record<string, string>, body: undefined })
  }
  if (!String(request.headers['content-type']).startsWith('application/json')) return refusal(415, 'JSON is needed')
  const body = operation.body.safeParse(parsed(request.body))
  if (!body.success) return refusal(400, z.prettifyError(body.error))
  return operation.answer({ params, query: query.data as Record<string, string>, body: body.data })
}

/** The form of a refusal matters to nobody but people, and to those who repeat it. */
export function refusal(status: number, message: string, code = 'Invalid'): LabAnswer {
  return { status, body: { error: { code, message } } }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `:name` stands for one segment. */
function matcher(on: string): (request: LabRequest) => Readonly<Record<string, string>> | undefined {
  const [method, path = ''] = on.split(' ')
  const wanted = path.split('/')
  return (request) => {
    const given = request.path.split('/')
    if (request.method !== method || given.length !== wanted.length) return undefined
    const params: Record<string, string> = {}
    for (const [index, segment] of wanted.entries()) {
      if (segment.startsWith(':')) params[segment.slice(1)] = given[index]!
      else if (segment !== given[index]) return undefined
    }
    return params
  }
}

/** Takes requests with this token alone. */
export function bearer(token: string, scheme = 'Bearer'): Guard {
  return ({ headers }) => (headers.authorization === `${scheme} ${token}` ? undefined : refusal(401, 'not authorised', 'Unauthorized'))
}

/**
 * An OAuth2 token endpoint after RFC 6749 section 4.4 at the path given, and a guard for what its tokens open. Each token is good for
 * `uses` requests, so that clients must notice.
 */
export function issuer(client: { readonly id: string; readonly secret: string; readonly scope?: string }, uses = Number.POSITIVE_INFINITY) {
  const live = new Map<string, number>()
  let issued = 0
  const issue = (request: LabRequest): LabAnswer => {
    const form = new URLSearchParams(request.body)
    const right =
      form.get('grant_type') === 'client_credentials' &&
      form.get('client_id') === client.id &&
      form.get('client_secret') === client.secret &&
      (form.get('scope') ?? undefined) === client.scope
    if (!right) return { status: 401, body: { error: 'invalid_client' } }
    const token = `${client.secret}-token-${++issued}`
    live.set(token, uses)
    return { status: 200, body: { access_token: token, token_type: 'bearer', expires_in: 3_600 } }
  }
  const guard =
    (path: string): Guard =>
    (request) => {
      if (request.path === path && request.method === 'POST') return issue(request)
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
      const left = live.get(token) ?? 0
      if (left <= 0) return refusal(401, 'the token is not valid', 'Unauthorized')
      live.set(token, left - 1)
      return undefined
    }
  return { guard, issued: () => issued }
}
