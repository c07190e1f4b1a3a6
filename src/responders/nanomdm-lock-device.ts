import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { command } from './apple-mdm.ts'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify } from './failure.ts'
import { commandOf, isFinal, Nanomdm, nanomdmServer, nextLook, notKnownToBeQueued, TIMEOUT, udidOf, waitingFor } from './nanomdm.ts'
import type { ConnectedResponder, Observation, Responder } from './responder.ts'
import { readSecret, secretRef } from './secret.ts'

const config = z
  .strictObject({
    ...nanomdmServer,
    pin_key: secretRef.describe('what the PIN of each lock derives from: 32 characters or more, escrowed where on-call finds it'),
    message: z.string().min(1).default('This device was locked by your security team.').describe('shown on the locked screen'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

const SHORTEST_KEY = 32
const LOCK = 'DeviceLock'

type Details = {
  readonly udid: string
  readonly message: string
  /** The effect's key, from which the PIN derives. */
  readonly key: string
}

/**
 * Locks a Mac through nanomdm (Apple Device Management: DeviceLock). It restarts and opens again with a PIN only, which derives from an escrowed
 * key and the effect's: it is kept nowhere, and told to whoever asks for it with that key.
 */
export const nanomdmLockDevice = {
  name: 'nanomdm-lock-device',
  title: 'Lock a Mac through nanomdm',
  verb: 'lock_device',
  effect: 'destroy',
  reversible: false,
  target: 'device',
  needs: ['device.mdm.id'],
  reports: 'nanomdm.webhook',
  permissions: ['nanomdm API key', 'MDM access right of the enrolment: lock devices'],
  config,
  example: `url: https://mdm.example.internal
allow_private: true
api_key: { env: NANOMDM_API_KEY }
webhook_key: { env: NANOMDM_WEBHOOK_KEY }
pin_key: { file: /run/secrets/lock-pins }
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 15 * 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const server = new Nanomdm(settings)
  const pinKey = readSecret(settings.pin_key)
  if (pinKey.length < SHORTEST_KEY) {
    throw new CordonError('PIN_KEY', `the PINs of locks must derive from ${SHORTEST_KEY} characters or more`, {
      hint: 'make them with: openssl rand -hex 32',
    })
  }

  return {
    check: (context) => server.check(context),

    async plan(target, context) {
      const udid = udidOf(target)
      return {
        summary: `Lock ${target.facts['device.name'] ?? target.id} through nanomdm, to be opened with a PIN of its own`,
        calls: [`PUT /v1/enqueue/${udid} ${LOCK}`],
        details: { udid, message: settings.message, key: context.idempotencyKey },
      }
    },

    async run(plan, context) {
      const { udid, message, key } = plan.details
      const { uuid } = commandOf(LOCK, context, udid)
      const pin = pinOf(pinKey, key)
      const body = command(uuid, LOCK, { PIN: pin, Message: message })
      return { command: uuid, ...(await server.enqueue(context, udid, body, [pin, pinKey])) }
    },

    async verify(plan, context): Promise<Observation> {
      const { answer } = commandOf(LOCK, context, plan.details.udid)
      if (answer !== undefined && isFinal(answer)) {
        if (answer.status !== 'Acknowledged')
          return { state: 'failed', reason: `the device refused ${LOCK}: ${answer.error ?? answer.status}` }
        return { state: 'present', proof: `the device acknowledged ${LOCK} ${answer.uuid} at ${new Date(answer.at).toISOString()}` }
      }
      if (answer === undefined && context.attempt?.answer === undefined) return notKnownToBeQueued(LOCK)
      return { state: 'pending', reason: waitingFor(LOCK, answer), retryAfter: nextLook(context, answer) }
    },

    classify,
    receive: (body, headers) => server.receive(body, headers),
    codeOf: ({ details }) => pinOf(pinKey, details.key),
  }
}

/** Six digits (Apple asks for six), the same for one key whenever they are asked for. */
function pinOf(pinKey: string, key: string): string {
  const bits = createHmac('sha256', pinKey).update(key).digest().readBigUInt64BE()
  return String(bits % 1_000_000n).padStart(6, '0')
}
