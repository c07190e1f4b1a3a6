import { isIP } from 'node:net'
import type { Draft } from '../../src/event/event.ts'
import { getPath, isObject, type Json, type JsonObject } from '../../src/event/json.ts'
import { parseTime } from '../../src/event/time.ts'

/** What a value of a key field must be, and what is said where it is not. */
type Rule = readonly [test: (value: Json) => boolean, expected: string]

const isText = (value: Json) => typeof value === 'string' && value !== ''
const isLower = (value: Json) => typeof value === 'string' && value !== '' && value === value.toLowerCase()
const isCount = (value: Json) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
const TEXT: Rule = [isText, 'a text']
const LOWER: Rule = [isLower, 'a text in lower case']
const COUNT: Rule = [isCount, 'a whole number from 0']
const ADDRESS: Rule = [(value) => typeof value === 'string' && isIP(value) !== 0, 'an IP address']
const PORT: Rule = [(value) => isCount(value) && (value as number) > 0 && (value as number) < 65_536, 'a port']
const TIME: Rule = [(value) => typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value), 'a time, RFC 3339 in UTC']

/** Docs/reference/event.md, "Fields": of what kind each is, where an event has it. A list has values of that kind. */
const FIELDS: Readonly<Record<string, Rule>> = {
  '@timestamp': TIME,
  'event.action': TEXT,
  'event.outcome': [(value) => ['success', 'failure', 'unknown'].includes(value as string), 'success, failure or unknown'],
  'event.code': TEXT,
  'event.provider': TEXT,
  'event.dataset': TEXT,
  'event.duration': COUNT,
  'event.start': TIME,
  'event.end': TIME,
  'source.ip': ADDRESS,
  'source.port': PORT,
  'source.bytes': COUNT,
  'destination.ip': ADDRESS,
  'destination.port': PORT,
  'destination.bytes': COUNT,
  'destination.domain': [(value) => isLower(value) && isIP(value as string) === 0, 'a name, in lower case'],
  'network.transport': LOWER,
  'network.protocol': LOWER,
  'network.community_id': TEXT,
  'user.id': TEXT,
  'user.name': TEXT,
  'user.email': [(value) => isText(value) && (value as string).includes('@'), 'an e-mail address'],
  'host.name': TEXT,
  'host.id': TEXT,
  'process.pid': COUNT,
  'process.parent.pid': COUNT,
  'process.executable': TEXT,
  'process.name': TEXT,
  'process.command_line': TEXT,
  'process.entity_id': TEXT,
  'file.path': TEXT,
  'dns.question.name': TEXT,
  'dns.question.type': TEXT,
  'dns.resolved_ip': ADDRESS,
  'tls.client.server_name': TEXT,
  'url.original': TEXT,
  'url.domain': TEXT,
  'user_agent.original': TEXT,
  'http.response.status_code': COUNT,
  'cloud.account.id': TEXT,
  'cloud.region': TEXT,
  'organization.id': TEXT,
  'winlog.channel': TEXT,
  'gen_ai.request.model': TEXT,
  'gen_ai.tool.name': TEXT,
  'gen_ai.conversation.id': TEXT,
  'gen_ai.usage.input_tokens': COUNT,
  'gen_ai.usage.output_tokens': COUNT,
  'mcp.server.name': TEXT,
  'related.ip': ADDRESS,
  'related.user': TEXT,
  'related.hosts': TEXT,
  'related.hash': TEXT,
}

/** What every event has. */
const REQUIRED = ['event.outcome', 'event.dataset']

/** Where the key fields of an event are not what docs/reference/event.md says: one line each, none for an event that keeps to it. */
export function keyFieldProblems({ ecs, time }: Draft): string[] {
  const problems: string[] = []
  for (const name of REQUIRED) if (getPath(ecs, name) === undefined) problems.push(`${name} is missing`)
  // A line of a program's own log names no event: it is a message.
  if (getPath(ecs, 'event.action') === undefined && ecs.message === undefined) problems.push('event.action is missing')
  for (const [name, [test, expected]] of Object.entries(FIELDS)) {
    const value = getPath(ecs, name)
    if (value === undefined) continue
    for (const item of Array.isArray(value) ? value : [value])
      if (!test(item)) problems.push(`${name}: ${JSON.stringify(item)} is not ${expected}`)
  }
  const stamp = parseTime(ecs['@timestamp'])
  if (time !== null && (stamp === null || Math.abs(stamp - time) > 0.01)) problems.push('@timestamp is not the time of the event')
  const related = getPath(ecs, 'related.user')
  const known = Array.isArray(related) ? related : []
  for (const identity of identitiesOf(ecs)) if (!known.includes(identity)) problems.push(`related.user has no ${JSON.stringify(identity)}`)
  return problems
}

function identitiesOf(ecs: JsonObject): Json[] {
  const { user } = ecs
  if (!isObject(user)) return []
  return [user.id, user.name, user.email].filter((identity) => identity !== undefined)
}
