import { randomBytes } from 'node:crypto'
import { type LabAnswer, type LabOptions, type LabRequest, type LabServer, serveLab } from './server.ts'

export interface LabTokensOptions extends LabOptions {
  /** The token of whoever runs the server: may do everything. */
  readonly rootToken: string
}

export interface LabTokens extends LabServer {
  /** Makes a token as `POST /v1/auth/token/create` does. */
  mint(meta: Readonly<Record<string, string>>): { readonly token: string; readonly accessor: string }
}

interface Token {
  readonly token: string
  readonly accessor: string
  readonly meta: Readonly<Record<string, string>>
  readonly policies: readonly string[]
  readonly created: number
  /** Milliseconds since the epoch. */
  readonly expires: number
}

const DAY = 86_400
const DENIED: LabAnswer = { status: 403, body: { errors: ['permission denied'] } }

/** A small capability-token server that speaks the token API of OpenBao 2.7: create, look up, list, revoke by accessor. */
export async function startLabTokens(options: LabTokensOptions): Promise<LabTokens> {
  const tokens = new Map<string, Token>()

  const create = (meta: Readonly<Record<string, string>>, policies: readonly string[] = ['default'], seconds = DAY): Token => {
    const now = Date.now()
    const token = {
      token: `s.${randomBytes(12).toString('hex')}`,
      accessor: randomBytes(12).toString('hex'),
      meta,
      policies,
      created: now,
      expires: now + seconds * 1000,
    }
    tokens.set(token.accessor, token)
    return token
  }
  const live = () => [...tokens.values()].filter((token) => token.expires > Date.now())
  const byAccessor = (accessor: unknown) => live().find((token) => token.accessor === accessor)
  create({}, ['root'])

  const server = await serveLab(options, (record) => {
    const routes: Record<string, (request: LabRequest, caller: Caller) => LabAnswer> = {
      'GET /v1/auth/token/lookup-self': (_, caller) =>
        caller === 'root' ? data({ policies: ['root'], meta: null }) : data(describe(caller)),
      'POST /v1/auth/token/create': (request, caller) => {
        if (caller !== 'root') return DENIED
        const body = json(request.body)
        const token = create(
          (body.meta ?? {}) as Record<string, string>,
          (body.policies as string[] | undefined) ?? ['default'],
          seconds(body.ttl),
        )
        return {
          status: 200,
          body: {
            data: null,
            auth: { client_token: token.token, accessor: token.accessor, policies: token.policies, metadata: token.meta },
          },
        }
      },
      'GET /v1/auth/token/accessors': (request, caller) =>
        caller === 'root' && request.query.get('list') === 'true' ? data({ keys: live().map((token) => token.accessor) }) : DENIED,
      'POST /v1/auth/token/lookup-accessor': (request, caller) => {
        if (caller !== 'root') return DENIED
        const token = byAccessor(json(request.body).accessor)
        if (token === undefined) return { status: 400, body: { errors: ['1 error occurred:\n\t* invalid accessor\n\n'] } }
        return data({ ...describe(token), id: '' })
      },
      'POST /v1/auth/token/revoke-accessor': (request, caller) => {
        if (caller !== 'root') return DENIED
        const token = byAccessor(json(request.body).accessor)
        if (token === undefined) return { status: 200, body: { data: null, warnings: ['No token found with this accessor'] } }
        tokens.delete(token.accessor)
        record({ what: 'revoked', key: token.accessor, about: `${token.meta.device ?? ''}/${token.meta.agent ?? ''}` })
        return { status: 204 }
      },
      'POST /v1/sys/capabilities-self': (request, caller) => {
        const paths = (json(request.body).paths ?? []) as string[]
        return data(Object.fromEntries(paths.map((path) => [path, [caller === 'root' ? 'root' : 'deny']])))
      },
    }
    return (request) => {
      if (request.path === '/v1/sys/health') return { status: 200, body: { initialized: true, sealed: false } }
      const given = request.headers['x-vault-token']
      const caller: Caller | undefined = given === options.rootToken ? 'root' : live().find((token) => token.token === given)
      if (caller === undefined) return DENIED
      const route = routes[`${request.method} ${request.path}`]
      return route === undefined ? { status: 404, body: { errors: [] } } : route(request, caller)
    }
  })
  return { ...server, mint: create }
}

type Caller = 'root' | Token

const data = (value: unknown): LabAnswer => ({ status: 200, body: { data: value } })

function describe({ accessor, meta, policies, created, expires, token }: Token) {
  const left = Math.floor((expires - Date.now()) / 1000)
  return {
    id: token,
    accessor,
    meta,
    policies,
    creation_time: Math.floor(created / 1000),
    expire_time: new Date(expires).toISOString(),
    ttl: left,
    type: 'service',
  }
}

function json(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return {}
  }
}

/** `90`, `90s`, `15m`, `24h`. */
function seconds(ttl: unknown): number {
  const match = /^(\d+)([smh]?)$/.exec(String(ttl ?? ''))
  return match === null ? DAY : Number(match[1]) * { '': 1, s: 1, m: 60, h: 3_600 }[match[2] as '' | 's' | 'm' | 'h']
}
