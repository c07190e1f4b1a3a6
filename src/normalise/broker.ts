import type { Draft } from '../event/event.ts'
import { getPath, type Json, type JsonObject } from '../event/json.ts'
import { withAgentTags } from '../event/logsource.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { fileFields } from './file-fields.ts'
import { jsonFramer } from './json-framer.ts'
import type { Normaliser } from './normaliser.ts'
import {
  foreignRecord,
  namesOf,
  nativeOf,
  peerFields,
  recordId,
  recordsOf,
  relatedFields,
  textAt,
  type Unwrapped,
  userFields,
} from './record.ts'
import { ECS_VERSION, entryOf, numberOf, some } from './shape.ts'

/**
 * A broker of capability tokens: what was issued to which agent, for what, and what it was used for. There is no vendor's standard; this is
 * Cordon's own format (docs/guides/sources/broker.md), also nested as `token: {id, op, …}`.
 */
export const broker: Normaliser = {
  name: 'broker',
  title: 'Capability-token broker',
  framer: jsonFramer,
  recognises: (record) => tokenText(record, 'id') !== undefined && textAt(record, 'event')?.startsWith('token.') === true,
  normalise(record) {
    const entries = recordsOf(record, isBrokers, ['events', 'records'])
    if (entries === undefined) throw foreignRecord('broker', '{time, event, token_id, …}')
    return entries.map(draftOf)
  },
}

function isBrokers(record: JsonObject): boolean {
  return tokenText(record, 'id') !== undefined || textAt(record, 'event')?.startsWith('token.') === true
}

/** One fact about the token: `token_NAME`, `token.NAME` (nested or with the dot), and where that is safe plain `NAME`. */
function tokenText(record: JsonObject, name: string): string | undefined {
  return textAt(record, `token_${name}`, `token.${name}`) ?? dotted(record, `token.${name}`)
}

function dotted(record: JsonObject, key: string): string | undefined {
  return Object.hasOwn(record, key) ? textAt({ value: record[key]! }, 'value') : undefined
}

function draftOf(unwrapped: Unwrapped): Draft {
  const { item: record } = unwrapped
  const said = (...names: readonly string[]): string | undefined => {
    for (const name of names) {
      const text = tokenText(record, name) ?? textAt(record, name)
      if (text !== undefined) return text
    }
    return undefined
  }
  const time = parseTime(record.time ?? record['@timestamp'] ?? record.timestamp)
  const action = textAt(record, 'event', 'action', 'event.action')
  const decision = said('decision')
  const label = said('label')
  const path = said('path')
  const user = { id: textAt(record, 'user_id', 'user.id'), login: textAt(record, 'user', 'user.email', 'user.name') }
  const device = textAt(record, 'device_id', 'device.id', 'device')
  const host = textAt(record, 'host', 'host.name')
  const source = peerFields(textAt(record, 'source_ip', 'client_ip', 'ip', 'source.ip'))
  const agent = textAt(record, 'agent', 'agent.name')
  const session = textAt(record, 'session_id', 'conversation_id')
  const file = path === undefined ? undefined : some({ ...fileFields([path]), classification: label })
  const ecs: JsonObject = some({
    '@timestamp': time === null ? undefined : formatTime(time),
    ecs: { version: ECS_VERSION },
    event: some({
      kind: 'event',
      category: ['iam'],
      type: [entryOf(TYPES, action) ?? 'info'],
      action,
      code: action,
      outcome: outcomeOf(action, decision),
      reason: said('reason'),
      provider: 'broker',
      dataset: 'broker',
    }),
    token: some({
      id: tokenText(record, 'id'),
      op: said('op') ?? listAt(record, 'ops'),
      path: path ?? said('target'),
      label,
      purpose: said('purpose'),
      decision,
      reason: said('reason'),
      expires: expiryOf(record, time),
    }),
    file,
    user: userFields(user),
    device: some({ id: device }),
    host: some({ name: host }),
    source,
    gen_ai: some({ agent: some({ name: agent }), conversation: some({ id: session }) }),
    related: relatedFields({ user: namesOf(user), ip: [textAt(source ?? {}, 'ip')], hosts: [host] }),
  })!
  const tags = [{ product: 'broker', category: 'token', service: 'capability_token' }]
  const id = textAt(record, 'event_id')
  return {
    ...(id === undefined ? {} : { producerId: recordId(id, record) }),
    time,
    logsource: agent === undefined ? tags : withAgentTags(tags),
    ecs,
    native: nativeOf(unwrapped),
  }
}

/** ECS `event.type` of what can happen to a token. */
const TYPES: Readonly<Record<string, string>> = {
  'token.issued': 'creation',
  'token.used': 'access',
  'token.denied': 'denied',
  'token.renewed': 'change',
  'token.revoked': 'deletion',
  'token.expired': 'end',
}

function outcomeOf(action: string | undefined, decision: string | undefined): string {
  switch (decision?.toLowerCase()) {
    case 'allow':
    case 'allowed':
    case 'permit':
    case 'grant':
    case 'granted':
      return 'success'
    case 'deny':
    case 'denied':
    case 'refuse':
    case 'refused':
      return 'failure'
  }
  if (action === 'token.denied') return 'failure'
  return decision === undefined && action !== undefined && Object.hasOwn(TYPES, action) && action !== 'token.used' ? 'success' : 'unknown'
}

/** When the token ends: as stated, else its lifetime from the time of its issue. */
function expiryOf(record: JsonObject, issued: number | null): string | undefined {
  const stated: Json | undefined =
    record.expires ?? record.expires_at ?? record.exp ?? getPath(record, 'token.expires') ?? record.token_expires ?? record['token.expires']
  const end = parseTime(stated)
  if (end !== null) return formatTime(end)
  const seconds = numberOf(record.ttl_s ?? record.ttl ?? getPath(record, 'token.ttl_s'))
  return issued === null || seconds === undefined || Math.abs(seconds) > 1e9 ? undefined : formatTime(issued + seconds * 1000)
}

function listAt(record: JsonObject, name: string): string[] | undefined {
  const value = record[name] ?? getPath(record, `token.${name}`)
  if (!Array.isArray(value)) return undefined
  const texts = value.filter((item) => typeof item === 'string')
  return texts.length === 0 ? undefined : texts
}
