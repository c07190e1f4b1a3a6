import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { digest } from '../event/id.ts'
import { getText, type JsonObject, parseForeignObject } from '../event/json.ts'
import { rememberIssued } from '../event/secrets.ts'
import { below, ENCRYPTED_HINT, encrypted, endpoint } from './endpoint.ts'
import { classify, statusFailure, VendorError } from './failure.ts'
import type { HttpResponse } from './http.ts'
import type { ConnectedResponder, Observation, Responder, ResponderContext } from './responder.ts'
import { excerpt, readSecret, secretRef } from './secret.ts'

const config = z
  .strictObject({
    ...endpoint,
    client_id: z.string().min(1).describe('the client that the tokens were issued to'),
    client_secret: secretRef,
    tokens: z.string().min(1).describe('path of the file in which your provisioning keeps the tokens that it gave to agents'),
    access_token_seconds: z
      .int()
      .min(0)
      .default(0)
      .describe('how long access tokens live where they are checked without asking the server (JWT); 0 where all are asked about'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

/** One line of the tokens file. */
const escrowed = z.array(
  z.strictObject({
    device: z.string().min(1),
    agent: z.string().min(1),
    token: z.string().min(1),
    hint: z.enum(['refresh_token', 'access_token']).default('refresh_token'),
  }),
)
type Escrowed = z.infer<typeof escrowed>[number]

const TIMEOUT = 15_000

type Details = {
  readonly device: string
  readonly agent: string
  /** Of the tokens that were on record when the action was planned: what they are called in plans and proofs. */
  readonly fingerprints: readonly string[]
  readonly revocation: string
  readonly introspection: string
}

/**
 * Revokes the OAuth tokens of an agent on a device (RFC 7009) and proves it by introspection (RFC 7662). Revocation takes the token
 * itself, so the tokens come from a file of the site's provisioning; no plan, receipt or error ever has one.
 */
export const oauthRevokeTokens = {
  name: 'oauth-revoke-tokens',
  title: "Revoke an agent's OAuth tokens (RFC 7009)",
  verb: 'revoke_agent_tokens',
  effect: 'revoke',
  reversible: false,
  target: 'agent_session',
  needs: ['device.id', 'gen_ai.agent.name'],
  permissions: ['the credentials of the client that the tokens were issued to, allowed to revoke and to introspect them'],
  config,
  example: `url: https://login.example.com
client_id: agents
client_secret: { env: OAUTH_CLIENT_SECRET }
tokens: /run/secrets/agent-tokens.json
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const secret = readSecret(settings.client_secret)
  // RFC 6749 section 2.3.1: encoded before they are joined.
  const credentials = Buffer.from(`${encodeURIComponent(settings.client_id)}:${encodeURIComponent(secret)}`).toString('base64')

  const onRecord = ({ device, agent }: Pick<Details, 'device' | 'agent'>) =>
    readTokens(settings.tokens).filter((token) => token.device === device && token.agent === agent)

  const refused = (response: HttpResponse, tokens: readonly Escrowed[]) => {
    const text = excerpt(response.body, [secret, credentials, ...tokens.map(({ token }) => token)])
    const hint = response.status === 401 ? 'are client_id and client_secret those of the client that the tokens were issued to?' : undefined
    return new VendorError(statusFailure(response, `the authorisation server answers ${response.status} ${text}`), hint)
  }

  const discover = async (context: Pick<ResponderContext, 'http' | 'signal'>) => {
    const url = below(settings, '.well-known/openid-configuration')
    const response = await context.http.request({ method: 'GET', url, timeout: TIMEOUT, signal: context.signal })
    if (response.status !== 200) throw refused(response, [])
    const metadata = parseForeignObject(response.body)
    return { revocation: endpointOf(metadata, 'revocation_endpoint'), introspection: endpointOf(metadata, 'introspection_endpoint') }
  }

  const post = async (context: ResponderContext, url: string, { token, hint }: Escrowed): Promise<HttpResponse> => {
    const response = await context.http.request({
      method: 'POST',
      url,
      headers: { authorization: `Basic ${credentials}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ token: rememberIssued(token), token_type_hint: hint }).toString(),
      timeout: TIMEOUT,
      signal: context.signal,
    })
    if (response.status !== 200) throw refused(response, [{ device: '', agent: '', token, hint }])
    return response
  }

  return {
    async check(context) {
      readTokens(settings.tokens)
      await discover(context)
    },

    async plan(target, context) {
      const device = target.facts['device.id']
      const agent = target.facts['gen_ai.agent.name']
      if (device === undefined || agent === undefined) {
        throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} lacks device.id or gen_ai.agent.name`)
      }
      const fingerprints = onRecord({ device, agent }).map(fingerprint)
      if (fingerprints.length === 0) {
        throw new CordonError('RESPONDER_TARGET', `no token of agent ${agent} on device ${device} is on record`, {
          hint: `have your provisioning write the tokens that it gives out to ${settings.tokens}`,
        })
      }
      const details: Details = { device, agent, fingerprints, ...(await discover(context)) }
      return {
        summary: `Revoke ${fingerprints.length} OAuth token(s) of agent ${agent} on device ${device}`,
        calls: fingerprints.map((name) => `POST ${new URL(details.revocation).pathname} (token ${name})`),
        details,
      }
    },

    async run(plan, context) {
      const tokens = onRecord(plan.details)
      for (const token of tokens) await post(context, plan.details.revocation, token)
      return { revoked: tokens.map(fingerprint) }
    },

    async verify(plan, context): Promise<Observation> {
      // 200 to a revocation says nothing: servers give it for tokens that they do not know (RFC 7009 section 2.2).
      const alive: string[] = []
      const tokens = onRecord(plan.details)
      for (const token of tokens) {
        const answer = parseForeignObject((await post(context, plan.details.introspection, token)).body)
        if (answer.active !== false) alive.push(fingerprint(token))
      }
      if (alive.length > 0) return { state: 'absent', proof: `introspection calls active: ${alive.join(', ')}` }
      const proof = `introspection calls none of ${tokens.map(fingerprint).join(', ')} active`
      const since = context.attempt?.at ?? context.now()
      const residual = settings.access_token_seconds * 1_000
      return residual === 0 ? { state: 'present', proof } : { state: 'present', proof, residualUntil: since + residual }
    },

    classify,
  }
}

const fingerprint = ({ token }: Pick<Escrowed, 'token'>) => digest(token).slice(0, 16)

/** Read anew each time: tokens that were given out since count, too. */
function readTokens(path: string): readonly Escrowed[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    // The message of a JSON error may quote what it could not read.
    throw new CordonError('TOKENS_FILE', `the tokens file ${path} cannot be read as JSON`, {
      hint: 'does it exist, readable by Cordon alone?',
    })
  }
  const checked = escrowed.safeParse(parsed)
  if (checked.success) return checked.data
  const at = checked.error.issues[0]?.path.join('.') ?? ''
  throw new CordonError('TOKENS_FILE', `the tokens file ${path} is not as it should be at "${at}"`, {
    hint: 'it is a JSON list of {"device": …, "agent": …, "token": …, "hint": "refresh_token"}',
  })
}

function endpointOf(metadata: JsonObject, name: string): string {
  const url = getText(metadata, name)
  if (url !== undefined) return url
  throw new VendorError(
    { kind: 'final', reason: `the authorisation server publishes no ${name}` },
    'does url lead to the issuer, and does it support RFC 7009 and RFC 7662?',
  )
}
