import { z } from 'zod'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify } from './failure.ts'
import type { ConnectedResponder, Observation, Responder } from './responder.ts'
import { askedBy, CAEP, factOf, type SecurityEvent, ssfStream, TIMEOUT, Transmitter } from './ssf.ts'

const config = z
  .strictObject({
    ...ssfStream,
    subject: z
      .enum(['email', 'iss_sub'])
      .default('email')
      .describe('how the receiver knows users: by user.email, or by user.id at subject_issuer'),
    subject_issuer: z.url().optional().describe('with iss_sub: the identity provider whose sub user.id is'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
  .refine((settings) => (settings.subject === 'iss_sub') === (settings.subject_issuer !== undefined), {
    path: ['subject_issuer'],
    message: 'goes with subject: iss_sub',
  })
type Config = z.infer<typeof config>

/** Tells a receiver of shared signals that a user's sessions are revoked (CAEP session-revoked), so that it ends them. */
export const ssfRevokeSessions = {
  name: 'ssf-revoke-sessions',
  title: "Revoke a user's sessions at a receiver of shared signals (CAEP)",
  verb: 'revoke_sessions',
  effect: 'revoke',
  reversible: false,
  target: 'user',
  needs: ['user.id'],
  permissions: ['a push stream at the receiver, with its bearer token'],
  config,
  example: `url: https://app.example.com/ssf/events
token: { env: SSF_TOKEN }
issuer: https://cordon.example.com
audience: https://app.example.com
signing_key: { file: /run/secrets/ssf-key.pem }
key_id: cordon-1
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<SecurityEvent> {
  const transmitter = new Transmitter(settings)
  return {
    check: (context) => transmitter.verify(context),

    async plan(target, context) {
      const { subject_issuer } = settings
      const user = factOf(target, 'user.id')
      const subject =
        subject_issuer === undefined
          ? { format: 'email', email: factOf(target, 'user.email') }
          : { format: 'iss_sub', iss: subject_issuer, sub: user }
      const { issuedAt, claims } = askedBy(context.incident)
      return {
        summary: `Tell ${new URL(settings.url).host} that the sessions of ${user} are revoked`,
        calls: ['POST session-revoked'],
        details: { subject, events: { [`${CAEP}/session-revoked`]: claims }, issuedAt },
      }
    },

    run: (plan, context) => transmitter.send(plan.details, context),

    async verify(_plan, context): Promise<Observation> {
      const jti = context.attempt?.answer?.jti
      if (jti === undefined) return { state: 'absent', proof: 'no acceptance was recorded; a repeat has the same jti' }
      return { state: 'present', proof: `the receiver took event ${String(jti)}; that it ended the sessions cannot be read back` }
    },

    classify,
  }
}
