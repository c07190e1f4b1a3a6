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
  reversed,
  type SecurityEvent,
  ssfStream,
  TIMEOUT,
  Transmitter,
} from './ssf.ts'

const config = z
  .strictObject({
    ...ssfStream,
    subject: z
      .enum(['device.id', 'device.name', 'device.mdm.id'])
      .default('device.id')
      .describe('by which of its names the receiver knows a device'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
  .refine(ownCredential, OWN_CREDENTIAL_HINT)
type Config = z.infer<typeof config>

const TYPE = `${CAEP}/device-compliance-change`

/** Tells a receiver of shared signals that a device is no longer compliant (CAEP), so that it lets the device in no more; undo tells that it is. */
export const ssfDeviceCompliance = {
  name: 'ssf-device-compliance',
  title: 'Call a device not compliant at a receiver of shared signals (CAEP)',
  verb: 'quarantine_device',
  effect: 'contain',
  reversible: true,
  target: 'device',
  needs: [],
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
      const { subject: by } = settings
      const device = by === 'device.id' ? target.id : factOf(target, by)
      const { issuedAt, claims } = askedBy(context.incident)
      return {
        summary: `Tell ${transmitter.receiver} that device ${device} is not compliant`,
        calls: [transmitter.call('device-compliance-change')],
        details: {
          subject: { format: 'opaque', id: device },
          events: { [TYPE]: { ...claims, previous_status: 'compliant', current_status: 'not-compliant' } },
          issuedAt,
        },
      }
    },

    run: (plan, context) => transmitter.send(plan.details, context),

    verify: async (_plan, context) => transmitter.observe(context, 'what it does with it cannot be read back'),

    undo: (plan, context) => transmitter.send(compliantAgain(plan.details, context.attempt?.at ?? context.now()), context),

    verifyUndo: async (_plan, context) => reversed(transmitter.observe(context, 'the device is compliant again, as far as Cordon knows')),

    ...transmitter.polled<SecurityEvent>([TYPE], ({ details }, act, at) => (act === 'run' ? details : compliantAgain(details, at))),

    classify,
  }
}

/** @param at when the device was called compliant again, in milliseconds */
function compliantAgain({ subject }: SecurityEvent, at: number): SecurityEvent {
  const issuedAt = Math.floor(at / 1_000)
  const claims = {
    event_timestamp: issuedAt,
    initiating_entity: 'policy',
    previous_status: 'not-compliant',
    current_status: 'compliant',
  }
  return { subject, events: { [TYPE]: claims }, issuedAt }
}
