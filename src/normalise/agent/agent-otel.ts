import type { Draft, LogSource } from '../../event/event.ts'
import type { JsonObject } from '../../event/json.ts'
import { AGENT_PRODUCT } from '../../event/logsource.ts'
import { formatTime, parseTime } from '../../event/time.ts'
import { baseName, fileFields } from '../file-fields.ts'
import { jsonFramer } from '../json-framer.ts'
import type { Normaliser } from '../normaliser.ts'
import { isOtlp, type OtlpItem, readOtlp, resourcesOf } from '../otlp.ts'
import { ECS_VERSION, entryOf, firstNumber, firstText, oneOrList, some, textOf } from '../shape.ts'
import { type AgentDialect, DIALECTS, dialectOf } from './agent-dialects.ts'
import { inputMessages, outputMessages, toolResult } from './agent-messages.ts'
import { readTool, type ToolKind, type ToolUse } from './agent-tools.ts'

/** One normaliser an agent: they share the reader and differ in their dialect. A request that mixes agents is read by each record's own. */
export const agentNormalisers: readonly Normaliser[] = DIALECTS.map((dialect) => ({
  name: dialect.name,
  title: dialect.title,
  framer: jsonFramer,
  recognises(record) {
    const resources = resourcesOf(record)
    return resources.length > 0 && resources.every(({ attributes, scopes }) => dialectOf(attributes, scopes) === dialect)
  },
  normalise: (record) => readOtlp(record).map((item) => draftOf(item, dialect)),
}))

/** OpenTelemetry of any other service, and requests in which a collector has mixed several: a record an event. */
export const otlpNormaliser: Normaliser = {
  name: 'otlp',
  title: 'OpenTelemetry logs and traces of any service',
  framer: jsonFramer,
  recognises: isOtlp,
  normalise: (record) => readOtlp(record).map((item) => draftOf(item, undefined)),
}

/** Log sources that a tool call adds to `tool_call`: only if it happened, for a refused read is no access. */
const TOOL_CATEGORIES: Readonly<Record<ToolKind, string | undefined>> = {
  read: 'file_access',
  write: 'file_event',
  command: undefined,
  fetch: 'network_connection',
  other: undefined,
}

const TOOL_CLASSES: Readonly<Record<ToolKind, readonly [category: string, type: string]>> = {
  read: ['file', 'access'],
  write: ['file', 'change'],
  command: ['process', 'start'],
  fetch: ['web', 'access'],
  other: ['api', 'access'],
}

/** What kind of act the unified action names are. */
const ACTION_CLASSES: Readonly<Record<string, readonly [logsource: string | undefined, category: string, type: string]>> = {
  user_prompt: ['prompt', 'api', 'info'],
  tool_decision: ['permission', 'api', 'info'],
  permission_mode_changed: ['permission', 'configuration', 'change'],
  session_configured: ['permission', 'configuration', 'info'],
  mcp_server_connection: ['mcp', 'api', 'connection'],
  api_request: [undefined, 'api', 'access'],
  api_response: [undefined, 'api', 'access'],
  api_error: [undefined, 'api', 'error'],
}

function draftOf(item: OtlpItem, fallback: AgentDialect | undefined): Draft {
  const { attributes, resource, record } = item
  const dialect = dialectOf(resource, item.scope === undefined ? [] : [item.scope]) ?? fallback
  const vendorName = nameOf(item)
  const action = item.signal === 'span' ? vendorName : dialect?.action(vendorName)
  const isTool = action === 'tool_result' || (item.signal === 'span' && attributes['gen_ai.tool.name'] !== undefined)
  const tool = isTool || action === 'tool_decision' ? readTool(attributes) : undefined
  const outcome = outcomeOf(attributes, action)
  const permission = permissionOf(attributes, action, dialect)
  const time =
    parseTime(record.timeUnixNano ?? record.startTimeUnixNano) ??
    parseTime(attributes['event.timestamp']) ??
    parseTime(record.observedTimeUnixNano)
  const [, category, type] =
    tool !== undefined && isTool ? [undefined, ...TOOL_CLASSES[tool.kind]] : (entryOf(ACTION_CLASSES, action) ?? [])

  const ecs: JsonObject = { ecs: { version: ECS_VERSION } }
  if (time !== null) ecs['@timestamp'] = formatTime(time)
  const fields: Record<string, JsonObject | undefined> = {
    event: some({
      kind: 'event',
      category: category === undefined ? undefined : [category],
      type:
        type === undefined ? undefined : [action === 'tool_decision' ? (permission?.decision === 'reject' ? 'denied' : 'allowed') : type],
      action,
      outcome,
      code: vendorName,
      dataset: dialect?.name ?? 'otlp',
      duration: durationOf(item),
      sequence: firstNumber(attributes, 'event.sequence'),
    }),
    service: some({ name: textOf(resource['service.name']), version: firstText(resource, 'service.version') }),
    host: hostOf(resource),
    user: userOf(attributes, resource),
    organization: some({ id: firstText(attributes, 'organization.id') }),
    process: processOf(resource, tool),
    file: isTool && tool !== undefined ? fileFields(tool.paths) : undefined,
    url: urlOf(tool?.url),
    http: some({ response: some({ status_code: statusOf(attributes) }) }),
    error: some({
      message: firstText(attributes, 'error', 'error.message', 'error_message'),
      type: firstText(attributes, 'error_type', 'error.type'),
    }),
    gen_ai: genAiOf(attributes, resource, dialect, action, tool),
    mcp: some({
      server: some({ name: tool?.mcpServer ?? (action === 'mcp_server_connection' ? firstText(attributes, 'server_name') : undefined) }),
    }),
    ai: some({ permission }),
    related: relatedOf(attributes, resource),
    trace: some({ id: textOf(record.traceId) }),
    span: some({ id: textOf(record.spanId) }),
  }
  for (const name in fields) if (fields[name] !== undefined) ecs[name] = fields[name]
  // A body that only repeats the event's name is no message.
  if (typeof record.body === 'string' && record.body.includes(' ')) ecs.message = record.body

  const producerId = producerIdOf(attributes, record)
  return {
    ...(producerId === undefined ? {} : { producerId }),
    time,
    logsource: tagsOf(item, dialect, action, tool, outcome),
    ecs,
    native: item.native,
  }
}

/** The vendor's event name. Codex puts a source line into OTLP's eventName and Gemini a sentence into the body, so those count only where they are names. */
function nameOf({ signal, attributes, record }: OtlpItem): string | undefined {
  if (signal === 'span') return textOf(record.name)
  return (
    firstText(attributes, 'event.name') ??
    [textOf(record.eventName), textOf(record.body)].find((name) => name !== undefined && /^[\w.]+$/.test(name))
  )
}

function tagsOf(
  item: OtlpItem,
  dialect: AgentDialect | undefined,
  action: string | undefined,
  tool: ToolUse | undefined,
  outcome: string,
): readonly LogSource[] {
  if (dialect === undefined) return [{ service: item.signal === 'span' ? 'otlp_traces' : 'otlp_logs' }]
  // A span tells again what a log record told: under the log's categories it would count twice.
  if (item.signal === 'span') return [{ product: AGENT_PRODUCT, service: `${dialect.service}_traces` }]
  const categories: (string | undefined)[] = [entryOf(ACTION_CLASSES, action)?.[0]]
  if (action === 'tool_result' && tool !== undefined) {
    categories.push('tool_call')
    if (tool.mcpServer !== undefined) categories.push('mcp')
    if (outcome !== 'failure') {
      categories.push(TOOL_CATEGORIES[tool.kind])
      if (tool.kind === 'command' && tool.paths.length > 0) categories.push('file_access')
      if (tool.kind === 'command' && tool.url !== undefined) categories.push('network_connection')
      if (tool.kind === 'other' && tool.paths.length > 0) categories.push('file_access')
    }
  }
  const named = categories.filter((category) => category !== undefined)
  if (named.length === 0) return [{ product: AGENT_PRODUCT, service: dialect.service }]
  return named.map((category) => ({ product: AGENT_PRODUCT, category, service: dialect.service }))
}

function outcomeOf(attributes: JsonObject, action: string | undefined): 'success' | 'failure' | 'unknown' {
  const success = attributes.success
  if (success === true || success === 'true') return 'success'
  if (success === false || success === 'false') return 'failure'
  if (action === 'api_error' || firstText(attributes, 'error', 'error.message', 'error_message') !== undefined) return 'failure'
  const status = statusOf(attributes)
  if (status !== undefined) return status >= 400 ? 'failure' : 'success'
  if (attributes.status === 'connected') return 'success'
  return attributes.status === 'failed' ? 'failure' : 'unknown'
}

function statusOf(attributes: JsonObject): number | undefined {
  return firstNumber(attributes, 'http.response.status_code', 'status_code', 'http.status_code')
}

/** `decision` is unified to accept and reject; `source` and `mode` keep the vendor's words (docs/reference/event.md). */
function permissionOf(attributes: JsonObject, action: string | undefined, dialect: AgentDialect | undefined): JsonObject | undefined {
  if (action === 'permission_mode_changed' || action === 'session_configured') {
    return some({ mode: oneOrList(dialect?.modes(attributes) ?? []), source: firstText(attributes, 'trigger') })
  }
  if (action !== 'tool_decision' && action !== 'tool_result') return undefined
  const decision = firstText(attributes, 'decision', 'decision_type')?.toLowerCase()
  return some({
    decision:
      decision === undefined
        ? undefined
        : /^(?:accept|approve|allow|auto_accept)/.test(decision)
          ? 'accept'
          : /^(?:reject|den|abort|cancel)/.test(decision)
            ? 'reject'
            : decision,
    source: firstText(attributes, 'source', 'decision_source')?.toLowerCase(),
  })
}

function durationOf({ signal, attributes, record }: OtlpItem): number | undefined {
  if (signal === 'span') {
    const start = parseTime(record.startTimeUnixNano)
    const end = parseTime(record.endTimeUnixNano)
    return start === null || end === null ? undefined : Math.round((end - start) * 1e6)
  }
  const millis = firstNumber(attributes, 'duration_ms')
  return millis === undefined ? undefined : Math.round(millis * 1e6)
}

function hostOf(resource: JsonObject): JsonObject | undefined {
  const os = textOf(resource['os.type'])
  return some({
    id: textOf(resource['host.id']),
    name: textOf(resource['host.name']),
    architecture: textOf(resource['host.arch']),
    os: some({ type: os === 'darwin' ? 'macos' : os, version: textOf(resource['os.version']) }),
  })
}

function userOf(attributes: JsonObject, resource: JsonObject): JsonObject | undefined {
  return some({
    id: firstText(attributes, 'user.id', 'user.account_uuid', 'user.account_id') ?? firstText(resource, 'user.id', 'enduser.id'),
    email: firstText(attributes, 'user.email') ?? firstText(resource, 'user.email'),
    name: firstText(resource, 'process.owner'),
  })
}

function relatedOf(attributes: JsonObject, resource: JsonObject): JsonObject | undefined {
  const users = ['user.id', 'user.account_uuid', 'user.account_id', 'user.email'].flatMap((name) => textOf(attributes[name]) ?? [])
  for (const name of ['enduser.id', 'user.email', 'process.owner'])
    users.push(...[textOf(resource[name])].filter((user) => user !== undefined))
  const host = textOf(resource['host.name'])
  return some({ user: users.length === 0 ? undefined : [...new Set(users)], hosts: host === undefined ? undefined : [host] })
}

/** The agent's own process; for a command that it runs, the command, with the agent as its parent. */
function processOf(resource: JsonObject, tool: ToolUse | undefined): JsonObject | undefined {
  const executable = firstText(resource, 'process.executable.path', 'process.executable.name')
  const args = resource['process.command_args']
  const own = some({
    pid: firstNumber(resource, 'process.pid'),
    executable,
    name: executable === undefined ? undefined : baseName(executable),
    args: Array.isArray(args) ? args : undefined,
  })
  if (tool?.command === undefined) return own
  return some({ command_line: tool.command, working_directory: tool.directory, parent: own })
}

function urlOf(address: string | undefined): JsonObject | undefined {
  if (address === undefined) return undefined
  if (!URL.canParse(address)) return { original: address }
  const { hostname, pathname, protocol, port } = new URL(address)
  return some({
    original: address,
    domain: hostname,
    path: pathname,
    scheme: protocol.slice(0, -1),
    port: port === '' ? undefined : Number(port),
  })
}

function genAiOf(
  attributes: JsonObject,
  resource: JsonObject,
  dialect: AgentDialect | undefined,
  action: string | undefined,
  tool: ToolUse | undefined,
): JsonObject | undefined {
  const conversation = firstText(attributes, 'session.id', 'conversation.id', 'gen_ai.conversation.id') ?? firstText(resource, 'session.id')
  return some({
    agent: some({
      name: dialect?.agent(textOf(resource['service.name'])),
      version: dialect === undefined ? undefined : firstText(attributes, 'app.version'),
    }),
    conversation: some({ id: conversation }),
    operation: some({ name: firstText(attributes, 'gen_ai.operation.name') }),
    input: dialect && some({ messages: inputMessages(attributes, action) }),
    output: dialect && some({ messages: outputMessages(attributes) }),
    request: some({ model: firstText(attributes, 'gen_ai.request.model', ...(dialect === undefined ? [] : ['model'])) }),
    response: some({ model: firstText(attributes, 'gen_ai.response.model') }),
    tool: some({
      name: tool?.name ?? firstText(attributes, 'gen_ai.tool.name'),
      call: some({
        id: firstText(attributes, 'tool_use_id', 'call_id', 'gen_ai.tool.call.id', 'gen_ai.tool.call_id'),
        arguments: tool?.arguments,
        result: tool && toolResult(attributes),
      }),
    }),
    usage: some({
      input_tokens: firstNumber(attributes, 'input_tokens', 'input_token_count', 'gen_ai.usage.input_tokens'),
      output_tokens: firstNumber(attributes, 'output_tokens', 'output_token_count', 'gen_ai.usage.output_tokens'),
    }),
  })
}

/** Claude numbers a session's events. A resumed session may count anew, so the time is part of the id. */
function producerIdOf(attributes: JsonObject, record: JsonObject): string | undefined {
  const session = textOf(attributes['session.id'])
  const sequence = textOf(attributes['event.sequence'])
  const time = textOf(record.timeUnixNano)
  if (session === undefined || sequence === undefined || time === undefined) return undefined
  return `${session}:${sequence}:${time}`
}
