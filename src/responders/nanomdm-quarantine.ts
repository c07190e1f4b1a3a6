import { z } from 'zod'
import { command, quarantineProfile, uuidOf } from './apple-mdm.ts'
import { ENCRYPTED_HINT, encrypted } from './endpoint.ts'
import { classify } from './failure.ts'
import {
  commandOf,
  type DeviceAnswer,
  isFinal,
  Nanomdm,
  nanomdmServer,
  nextLook,
  notKnownToBeQueued,
  TIMEOUT,
  udidOf,
  waitingFor,
  wordOn,
} from './nanomdm.ts'
import type { ConnectedResponder, Observation, Plan, Responder, ResponderContext } from './responder.ts'

const config = z
  .strictObject({
    ...nanomdmServer,
    organization: z.string().min(1).describe('shown to the user of a quarantined device'),
    message: z.string().min(1).default('This device is in quarantine. Call your security team.').describe('shown with the profile'),
    allowed_sites: z.array(z.url()).default([]).describe('web sites that stay reachable in the browser'),
    proxy: z
      .strictObject({ host: z.string().min(1), port: z.int().min(1).max(65_535) })
      .optional()
      .describe('proxy that all HTTP traffic of a quarantined device must take'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

/** A listing older than this no longer proves how things are now. */
const PROOF_LIFE = 5 * 60_000
/** An answer that has not come after this time may be lost: the device is asked for its profiles, and again each time the wait has doubled. */
const FIRST_WAIT = 5_000

type Details = {
  readonly udid: string
  readonly identifier: string
  /** The profile as it will be sent, so that a change of configuration between approval and dispatch changes nothing. */
  readonly profile: string
}

/**
 * Quarantine through nanomdm: installs a restrictive profile whose identifier carries the effect, proves it by listing the device's
 * profiles, and lifts it by removing that profile and no other. Command UUIDs derive from the effect's key, so the server itself
 * refuses to queue one twice.
 */
export const nanomdmQuarantine = {
  name: 'nanomdm-quarantine',
  title: 'Quarantine a Mac through nanomdm',
  verb: 'quarantine_device',
  effect: 'contain',
  reversible: true,
  target: 'device',
  needs: ['device.mdm.id'],
  reports: 'nanomdm.webhook',
  permissions: ['nanomdm API key', 'MDM access rights of the enrolment: install and remove profiles, inspect profiles'],
  config,
  example: `url: https://mdm.example.internal
allow_private: true
api_key: { env: NANOMDM_API_KEY }
webhook_key: { env: NANOMDM_WEBHOOK_KEY }
organization: Example Corp
allowed_sites: [https://help.example.com]
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 15 * 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const server = new Nanomdm(settings)

  return {
    check: (context) => server.check(context),

    async plan(target, context) {
      const udid = udidOf(target)
      const identifier = `org.cordon.quarantine.${context.idempotencyKey}`
      const details: Details = {
        udid,
        identifier,
        profile: quarantineProfile({
          identifier,
          organization: settings.organization,
          description: settings.message,
          allowedSites: settings.allowed_sites,
          proxy: settings.proxy,
        }),
      }
      return {
        summary: `Quarantine ${target.facts['device.name'] ?? target.id}: install profile ${identifier} through nanomdm`,
        calls: [`PUT /v1/enqueue/${udid} InstallProfile ${identifier}`],
        details,
      }
    },

    async run(plan, context) {
      const { udid, profile } = plan.details
      const { uuid } = commandOf('InstallProfile', context, udid)
      return { command: uuid, ...(await server.enqueue(context, udid, command(uuid, 'InstallProfile', { Payload: Buffer.from(profile) }))) }
    },

    verify: (plan, context) => observe(plan, context, 'InstallProfile', server),

    async undo(plan, context) {
      const { udid, identifier } = plan.details
      const { uuid } = commandOf('RemoveProfile', context, udid)
      return { command: uuid, ...(await server.enqueue(context, udid, command(uuid, 'RemoveProfile', { Identifier: identifier }))) }
    },

    verifyUndo: (plan, context) => observe(plan, context, 'RemoveProfile', server),

    classify,

    receive: (body, headers) => server.receive(body, headers),
  }
}

type Act = 'InstallProfile' | 'RemoveProfile'

/**
 * Reads the device. The webhook's receipts say how the device answered our command; whether the profile is there, only a listing says.
 * Webhooks get lost, but a listing can be asked for again: with every receipt gone, this still decides. No listing is queued behind a
 * command that the device may yet put off: nanomdm's default storage then loses that command (docs/guides/responders/nanomdm-quarantine.md).
 */
async function observe(plan: Plan<Details>, context: ResponderContext, act: Act, server: Nanomdm): Promise<Observation> {
  const { udid, identifier } = plan.details
  const { answer } = commandOf(act, context, udid)
  const { listing, question, waits } = newestListing(context, udid, answer)
  const verdict = judgeDevice(act, identifier, answer, listing)
  if (verdict !== undefined) return verdict
  if (answer === undefined && context.attempt?.answer === undefined) {
    const { state, proof } = notKnownToBeQueued(act)
    return { state: act === 'InstallProfile' ? state : 'present', proof }
  }
  if (waits > 0 || answer?.status === 'Acknowledged')
    await server.enqueue(context, udid, command(question, 'ProfileList', { ManagedOnly: false }))
  return { state: 'pending', reason: waitingFor(act, answer), retryAfter: nextLook(context, answer) }
}

/** What follows from the device's answer to our command and from its list of profiles; undefined: the list has to be asked for. */
function judgeDevice(
  act: Act,
  identifier: string,
  answer: DeviceAnswer | undefined,
  listing: Listing | undefined,
): Observation | undefined {
  const refused = answer !== undefined && isFinal(answer) && answer.status !== 'Acknowledged'
  const refusal = { state: 'failed', reason: `the device refused ${act}: ${answer?.error ?? answer?.status}` } as const
  if (listing === undefined) return refused ? refusal : undefined
  const listed = listing.profiles.includes(identifier)
  const proof = `the device ${listed ? 'lists' : 'does not list'} profile ${identifier} (ProfileList ${listing.uuid} of ${new Date(listing.at).toISOString()})`
  const asListed = { state: listed ? 'present' : 'absent', proof } as const
  if (listed === (act === 'InstallProfile')) return asListed
  if (refused) return refusal
  // Without a word on our command, it never got into the queue; put off and passed over, it may be in it no more.
  if (answer === undefined || (answer.status === 'NotNow' && answer.at < listing.at)) return asListed
  const ignored = answer.status === 'Acknowledged' && answer.at <= listing.at
  return ignored ? { state: 'failed', reason: `the device acknowledged ${act}, yet ${proof}` } : undefined
}

type Listing = DeviceAnswer & { readonly profiles: readonly string[] }

/**
 * The newest list of profiles that the device sent since the attempt and within the life of a proof, the UUID under which to ask for
 * the next, and how many times the wait for it has doubled. UUIDs count answers and doublings: asking twice is asking once, and an
 * answer that was lost is asked for again.
 */
function newestListing(context: ResponderContext, udid: string, answer: DeviceAnswer | undefined) {
  const attempt = context.attempt?.at ?? 0
  let listing: Listing | undefined
  let since = attempt
  for (let answered = 0; ; answered++) {
    const waits = doublings(context.now() - since)
    const questions = Array.from({ length: waits + 1 }, (_, n) => uuidOf(context.idempotencyKey, 'ProfileList', attempt, answered, n))
    const word = questions.map((uuid) => wordOn(context, udid, uuid)).find((candidate) => candidate !== undefined && isFinal(candidate))
    if (word === undefined) {
      const current = listing !== undefined && listing.at > context.now() - PROOF_LIFE ? listing : undefined
      const quiet = context.now() - Math.max(since, answer?.at ?? 0)
      return { listing: current, question: questions.at(-1)!, waits: Math.min(waits, doublings(quiet)) }
    }
    if (word.profiles !== undefined) listing = { ...word, profiles: word.profiles }
    since = word.at
  }
}

/** 0 before the first wait is over, then one more each time that it has doubled. */
const doublings = (waited: number) => (waited < FIRST_WAIT ? 0 : 1 + Math.floor(Math.log2(waited / FIRST_WAIT)))
