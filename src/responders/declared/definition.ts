import { z } from 'zod'
import { duration } from '../../settings/duration.ts'
import type { Verb } from '../../sigma/ast.ts'
import { type EffectClass, INCIDENT_WORDS } from '../responder.ts'

/** The shape of a responder file (docs/reference/responder-files.md). What it means together is checked in check.ts. */

/** The least that a verb does to the world: a file may call it graver, never lighter, for limits and approvals go by it. */
export const LEAST_EFFECT: Readonly<Record<Verb, EffectClass>> = {
  create_incident: 'record',
  notify: 'notify',
  quarantine_device: 'contain',
  lock_device: 'destroy',
  block_egress: 'contain',
  revoke_agent_tokens: 'revoke',
  revoke_sessions: 'revoke',
  disable_user: 'contain',
  rotate_keys: 'revoke',
  pause_agent: 'contain',
  collect_forensics: 'contain',
}
/** From the lightest to the gravest. */
export const EFFECTS = ['notify', 'record', 'contain', 'revoke', 'destroy'] as const satisfies readonly EffectClass[]

const text = z.string().min(1)
/** A name under which something is kept: `machine` is `{{plan.machine}}` later. */
const name = z.string().regex(/^[a-z][a-z0-9_]*$/, 'lower case letters, digits and "_" only')
/** RFC 6901; the empty one is the whole. */
const pointer = z.string().regex(/^(?:\/[^/]+)*$/, 'a JSON pointer such as /error/code')
const path = z.string().regex(/^\/[^?#]*$/, 'a path begins with "/" and has no "?" or "#"')
const header = z.string().regex(/^[A-Za-z][A-Za-z0-9-]*$/, 'the name of a header')
const scalar = z.union([z.string(), z.number(), z.boolean()])
const oneOrMore = <T extends z.ZodType>(item: T) => z.union([item.transform((one) => [one]), z.array(item).min(1)])

const setting = z.strictObject({
  type: z.enum(['text', 'number', 'flag', 'duration']),
  /** What a text may be. */
  of: z.array(text).min(1).optional(),
  default: scalar.optional(),
  about: text,
})

/** Everything that it says must be so. */
const condition = z.strictObject({
  status: oneOrMore(z.int().min(100).max(599)).optional(),
  /** Whether the look found anything. */
  found: z.boolean().optional(),
  /** Whether the attempt that this reads back was answered. */
  answered: z.boolean().optional(),
  /** What `is`, `contains`, `exists` and `after` judge: a place in the answer, or a value. */
  at: pointer.optional(),
  value: text.optional(),
  is: oneOrMore(scalar).optional(),
  contains: text.optional(),
  exists: z.boolean().optional(),
  /** A time that is not before this one. */
  after: text.optional(),
})
const conditions = oneOrMore(condition)

const target = {
  path,
  query: z.record(text, text).default({}),
  headers: z.record(header, text).default({}),
}

const request = z
  .strictObject({
    method: z.enum(['POST', 'PUT', 'PATCH', 'DELETE']),
    ...target,
    json: z.json().optional(),
    form: z.record(text, text).optional(),
  })
  .refine(({ json, form }) => json === undefined || form === undefined, 'json or form, not both')

const look = z.strictObject({
  ...target,
  /** The list in the answer in which it looks; the whole answer, if left out. */
  list: pointer.optional(),
  where: conditions.optional(),
  /** A time by which the newest comes first. */
  newest_by: pointer.optional(),
  /** Of several that fit; with `only` several are a mistake. */
  which: z.enum(['first', 'only']).default('first'),
  take: z.record(name, pointer).default({}),
})

const planLook = z.strictObject({
  ...look.shape,
  /** Why there is nothing to plan where it finds nothing, in words. */
  otherwise: text,
})

const state = z.strictObject({
  when: conditions,
  state: z.enum(['present', 'absent', 'pending', 'failed']),
  /** The proof, or the reason. */
  say: text,
})
const readBack = z.union([z.literal('accepted'), z.array(z.strictObject({ ...look.shape, states: z.array(state).min(1) })).min(1)])

const act = z
  .strictObject({
    /** Looks whether it has been done already. */
    find: look.optional(),
    /** Sent where nothing was found, or nothing is looked for. */
    request: request.optional(),
    /** Sent where it was found. */
    found: request.optional(),
    /** What is kept of the answer. */
    take: z.record(name, pointer).default({}),
  })
  .refine(({ request, found }) => request !== undefined || found !== undefined, 'needs a request, or found')
  .refine(({ find, found }) => found === undefined || find !== undefined, 'found needs find')

const auth = z.union([
  z.strictObject({ bearer: text }),
  z.strictObject({ basic: z.strictObject({ user: text, password: text }) }),
  z.strictObject({ header: z.strictObject({ name: header, value: text }) }),
  z.strictObject({
    oauth2: z.strictObject({
      client_id: text,
      client_secret: text,
      scope: text.optional(),
      /** Below `url`; without it the configuration has a `token_url`. */
      token_path: path.optional(),
      /** How the client proves who it is (RFC 6749 section 2.3.1). */
      client: z.enum(['basic', 'body']).default('body'),
    }),
  }),
])

/** What follows from another value: by a table, or escaped as Slack's mrkdwn asks. */
const value = z.union([
  z.strictObject({ from: text, to: z.record(z.string(), z.string()), otherwise: z.string() }),
  z.strictObject({ from: text, escape: z.literal('mrkdwn') }),
])

/** What people do with an incident at the vendor, as its webhook tells. It is signed by HMAC-SHA-256, in hexadecimal, over the body. */
const webhook = z.strictObject({
  /** Of the secret with which it is signed, `webhook_secret` in the configuration. Where that is left out no webhook is taken. */
  about: text,
  /** Signatures stand here, separated by commas: while a secret is changed there are several. */
  header,
  /** What each signature begins with. */
  prefix: z.string().default(''),
  /** Only what meets this is a person's word: what the vendor does by itself says nothing. */
  when: conditions,
  incident: pointer,
  by: pointer,
  /** A time in RFC 3339. */
  at: pointer,
  what: pointer,
  /** What it means, by what stands at `what`. */
  says: z.record(text, z.enum(INCIDENT_WORDS)),
})

export const definitionSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]+$/, 'lower case letters, digits and "-" only'),
  title: text,
  verb: z.enum(Object.keys(LEAST_EFFECT) as Verb[]),
  effect: z.enum(EFFECTS),
  target: z.enum(['device', 'user', 'agent', 'agent_session', 'incident']),
  /** Facts of the target that it uses. */
  needs: z.array(text).default([]),
  permissions: z.array(text).min(1),
  /** The vendor's address where it is the same for everybody. */
  url: z.url({ protocol: /^https$/ }).optional(),
  settings: z.record(name, setting).default({}),
  /** Name → what it is. */
  secrets: z.record(name, text).default({}),
  /** A configuration, as documentation shows it. */
  example: z.record(z.string(), z.json()),
  auth: auth.optional(),
  /** Whether repeating a request of unknown outcome is harmless. */
  repeatable: z.boolean(),
  /** For all requests of a step together. */
  timeout: duration.default(15_000),
  confirm_within: duration.default(15 * 60_000),
  /** Most calls in a time. */
  limits: z.array(z.strictObject({ calls: z.int().positive(), per: duration })).default([]),
  /** A header that says, in seconds since 1970, from when it takes calls again. */
  reset_header: header.optional(),
  /** A setting: how long what was issued before stays valid. */
  residual: name.optional(),
  /** Values that follow from others. */
  values: z.record(name, value).default({}),
  /** What answers mean, the first that fits; by their status where none does. */
  errors: z
    .array(z.strictObject({ when: conditions, means: z.enum(['retry', 'unknown', 'final', 'done']), hint: text.optional() }))
    .default([]),
  check: z.union([z.literal('reachable'), z.strictObject({ path, query: target.query, headers: target.headers })]),
  plan: z.strictObject({ looks: z.array(planLook).default([]), summary: text }),
  run: act,
  confirm: readBack,
  undo: act.optional(),
  confirm_undo: readBack.optional(),
  webhook: webhook.optional(),
})

export type Definition = z.infer<typeof definitionSchema>
export type Hearing = z.infer<typeof webhook>
export type Auth = z.infer<typeof auth>
export type Condition = z.infer<typeof condition>
export type Value = z.infer<typeof value>
export type Look = z.infer<typeof look>
export type Act = z.infer<typeof act>
export type ActRequest = z.infer<typeof request>
export type ReadBack = z.infer<typeof readBack>
export type LookTarget = Pick<Look, 'path' | 'query' | 'headers'>
