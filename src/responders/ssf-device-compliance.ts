import { z } from 'zod'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify } from './failure.ts'
import type { ConnectedResponder, Observation, Responder } from './responder.ts'
import { askedBy, CAEP, factOf, type SecurityEvent, ssfStream, TIMEOUT, Transmitter } from './ssf.ts'

const config = z
  .strictObject({
    ...ssfStream,
    subject: z
      .enum(['device.id', 'device.name', 'device.mdm.id'])
      .default('device.id')
      .describe('by which of its names the receiver knows a device'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
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
      const { subject: by, url } = settings
      const device = by === 'device.id' ? target.id : factOf(target, by)
      const { issuedAt, claims } = askedBy(context.incident)
      return {
        summary: `Tell ${new URL(url).host} that device ${device} is not compliant`,
        calls: ['POST device-compliance-change'],
        details: {
          subject: { format: 'opaque', id: device },
          events: { [TYPE]: { ...claims, previous_status: 'compliant', current_status: 'not-compliant' } },
          issuedAt,
        },
      }
    },

    run: (plan, context) => transmitter.send(plan.details, context),

    async verify(_plan, context): Promise<Observation> {
      const jti = context.attempt?.answer?.jti
      if (jti === undefined) return { state: 'absent', proof: 'no acceptance was recorded; a repeat has the same jti' }
      return { state: 'present', proof: `the receiver took event ${String(jti)}; what it does with it cannot be read back` }
    },

    async undo(plan, context) {
      const { subject } = plan.details
      const issuedAt = Math.floor((context.attempt?.at ?? context.now()) / 1_000)
      const claims = {
        event_timestamp: issuedAt,
        initiating_entity: 'policy',
        previous_status: 'not-compliant',
        current_status: 'compliant',
      }
      return transmitter.send({ subject, events: { [TYPE]: claims }, issuedAt }, context)
    },

    async verifyUndo(_plan, context): Promise<Observation> {
      const jti = context.attempt?.answer?.jti
      if (jti === undefined) return { state: 'present', proof: 'no acceptance of the reverse was recorded' }
      return { state: 'absent', proof: `the receiver took event ${String(jti)}: compliant again` }
    },

    classify,
  }
}
