import { z } from 'zod'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify } from './failure.ts'
import type { ConnectedResponder, Responder } from './responder.ts'
import {
  askedBy,
  CAEP,
  CONFIRM_WITHIN,
  factOf,
  OWN_CREDENTIAL_HINT,
  ownCredential,
  type SecurityEvent,
  ssfStream,
  TIMEOUT,
  Transmitter,
} from './ssf.ts'

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
  .refine(ownCredential, OWN_CREDENTIAL_HINT)
  .refine((settings) => (settings.subject === 'iss_sub') === (settings.subject_issuer !== undefined), {
    path: ['subject_issuer'],
    message: 'goes with subject: iss_sub',
  })
type Config = z.infer<typeof config>

const TYPE = `${CAEP}/session-revoked`

/** Tells a receiver of shared signals that a user's sessions are revoked (CAEP session-revoked), so that it ends them. */
export const ssfRevokeSessions = {
  name: 'ssf-revoke-sessions',
  title: "Revoke a user's sessions at a receiver of shared signals (CAEP)",
  verb: 'revoke_sessions',
  effect: 'revoke',
  reversible: false,
  target: 'user',
  needs: ['user.id'],
  permissions: ['a stream at the receiver: one that is pushed to, with its bearer token, or one that it fetches from'],
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
  confirmWithin: CONFIRM_WITHIN,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<SecurityEvent> {
  const transmitter = new Transmitter(settings)
  return {
    check: (context) => transmitter.check(context),

    async plan(target, context) {
      const { subject_issuer } = settings
      const user = factOf(target, 'user.id')
      const subject =
        subject_issuer === undefined
          ? { format: 'email', email: factOf(target, 'user.email') }
          : { format: 'iss_sub', iss: subject_issuer, sub: user }
      const { issuedAt, claims } = askedBy(context.incident)
      return {
        summary: `Tell ${transmitter.receiver} that the sessions of ${user} are revoked`,
        calls: [transmitter.call('session-revoked')],
        details: { subject, events: { [TYPE]: claims }, issuedAt },
      }
    },

    run: (plan, context) => transmitter.send(plan.details, context),

    verify: async (_plan, context) => transmitter.observe(context, 'that it ended the sessions cannot be read back'),

    ...transmitter.polled<SecurityEvent>([TYPE], ({ details }) => details),

    classify,
  }
}
