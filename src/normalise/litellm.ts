import type { LogSource } from '../event/event.ts'
import { isObject, type Json, type JsonObject } from '../event/json.ts'
import { AGENT_PRODUCT } from '../event/logsource.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { readInnerJson } from './inner-json.ts'
import { jsonFramer } from './json-framer.ts'
import { countOf, distinct, endpoint, urlFields } from './network-fields.ts'
import type { Normaliser } from './normaliser.ts'
import { foreignRecord, objectAt, recordId, textAt } from './record.ts'
import { ECS_VERSION, firstText, numberOf, some, textOf } from './shape.ts'

/** LiteLLM's gateway: one StandardLoggingPayload for each call of a model or of an MCP tool, whether it succeeded or failed. */
export const litellm: Normaliser = {
  name: 'litellm',
  title: 'LiteLLM gateway logs',
  framer: jsonFramer,
  recognises: (record) => isPayload(record) && SIGNS.some((name) => Object.hasOwn(record, name)),
  normalise(record) {
    // Custom callbacks often write the arguments that they were called with.
    const { standard_logging_object: inner } = record
    const payload = isObject(inner) && isPayload(inner) ? inner : record
    if (!isPayload(payload)) throw foreignRecord('litellm', 'a StandardLoggingPayload, {call_type, startTime, status, …}')
    return [draftOf(payload, record)]
  },
}

/** Fields that stand beside `call_type` in every version of the payload, and in nothing else. */
const SIGNS = ['response_cost', 'model_group', 'model_map_information', 'completionStartTime', 'hidden_params', 'standard_logging_object']

function isPayload(record: JsonObject): boolean {
  if (isObject(record.standard_logging_object) && record.call_type === undefined) return isPayload(record.standard_logging_object)
  return typeof record.call_type === 'string' && (record.startTime !== undefined || record.status !== undefined)
}

function draftOf(payload: JsonObject, native: JsonObject) {
  const metadata = objectAt(payload, 'metadata')
  const hidden = objectAt(payload, 'hidden_params')
  const errors = objectAt(payload, 'error_information')
  const start = parseTime(payload.startTime)
  const end = parseTime(payload.endTime)
  const time = start ?? end
  const callType = textOf(payload.call_type)
  const tool = toolOf(payload, metadata)
  const outcome = outcomeOf(payload)
  const user = userOf(payload, metadata)
  const address = firstText(payload, 'requester_ip_address') ?? firstText(metadata, 'requester_ip_address')
  const source = endpoint(address, undefined)
  const response = objectAt(payload, 'response')
  const id = textOf(payload.id)
  const ecs: JsonObject = time === null ? {} : { '@timestamp': formatTime(time) }
  const fields: Readonly<Record<string, JsonObject | undefined>> = {
    ecs: { version: ECS_VERSION },
    event: some({
      kind: 'event',
      category: ['api'],
      type: outcome === 'failure' ? ['access', 'error'] : ['access'],
      action: tool !== undefined ? 'tool_result' : outcome === 'failure' ? 'api_error' : 'api_request',
      outcome,
      code: callType,
      dataset: 'litellm',
      duration: durationOf(start, end, payload),
      start: start === null ? undefined : formatTime(start),
      end: end === null ? undefined : formatTime(end),
    }),
    service: some({ name: 'litellm' }),
    source,
    user: user.user,
    organization: some({ id: firstText(metadata, 'user_api_key_org_id') }),
    url: urlFields(firstText(payload, 'api_base') ?? firstText(hidden, 'api_base')),
    user_agent: some({ original: agentOf(payload, metadata) }),
    http: some({ response: some({ status_code: statusOf(errors.error_code) }) }),
    error: some({
      message: firstText(payload, 'error_str') ?? firstText(errors, 'error_message'),
      code: firstText(errors, 'error_code'),
      type: firstText(errors, 'error_class'),
    }),
    gen_ai: some({
      operation: some({ name: tool !== undefined ? 'execute_tool' : operationOf(callType) }),
      provider: some({
        name:
          firstText(payload, 'custom_llm_provider') ??
          firstText(hidden, 'custom_llm_provider') ??
          textAt(payload, 'model_map_information.model_map_value.litellm_provider'),
      }),
      request: some({ model: textOf(payload.model) }),
      response: some({ id: firstText(response, 'id'), model: firstText(response, 'model') }),
      conversation: some({ id: firstText(payload, 'session_id') ?? firstText(metadata, 'session_id') }),
      tool: tool?.fields,
      usage: some({ input_tokens: countOf(payload.prompt_tokens), output_tokens: countOf(payload.completion_tokens) }),
    }),
    mcp: tool?.server === undefined ? undefined : { server: { name: tool.server } },
    trace: some({ id: textOf(payload.trace_id) }),
    related: some({ ip: distinct([source?.ip]), user: distinct(user.identities) }),
  }
  for (const name in fields) if (fields[name] !== undefined) ecs[name] = fields[name]
  return {
    // A cached answer has the id of the first.
    ...(id === undefined ? {} : { producerId: recordId(id, payload) }),
    time,
    logsource: tagsOf(tool !== undefined),
    ecs,
    native,
  }
}

function outcomeOf(payload: JsonObject): 'success' | 'failure' | 'unknown' {
  const status = textOf(payload.status)?.toLowerCase()
  if (status === 'success') return 'success'
  return status === 'failure' || firstText(payload, 'error_str') !== undefined ? 'failure' : 'unknown'
}

function durationOf(start: number | null, end: number | null, payload: JsonObject): number | undefined {
  if (start !== null && end !== null && end >= start) return Math.round((end - start) * 1e6)
  const seconds = numberOf(payload.response_time)
  return seconds === undefined || seconds < 0 ? undefined : Math.round(seconds * 1e9)
}

function statusOf(code: Json | undefined): number | undefined {
  const status = numberOf(code)
  return status !== undefined && Number.isInteger(status) && status >= 100 && status < 600 ? status : undefined
}

const OPERATIONS: readonly (readonly [pattern: RegExp, operation: string])[] = [
  [/embedding/, 'embeddings'],
  [/text_completion/, 'text_completion'],
  [/completion|responses|anthropic_messages/, 'chat'],
]

/** The operation's name in the conventions for generative AI; the vendor's own where they have none for it. */
function operationOf(callType: string | undefined): string | undefined {
  return OPERATIONS.find(([pattern]) => pattern.test(callType ?? ''))?.[1] ?? callType
}

/** Who called: the owner of the key that was used, and whom the caller says that it acts for. */
function userOf(payload: JsonObject, metadata: JsonObject) {
  const id = firstText(metadata, 'user_api_key_user_id')
  const endUser = firstText(payload, 'end_user') ?? firstText(metadata, 'user_api_key_end_user_id')
  const email = firstText(metadata, 'user_api_key_user_email') ?? [endUser, id].find((text) => text?.includes('@'))
  const name = firstText(metadata, 'user_api_key_alias')
  return {
    user: some({
      id: id ?? endUser,
      email,
      group: some({ id: firstText(metadata, 'user_api_key_team_id'), name: firstText(metadata, 'user_api_key_team_alias') }),
    }),
    identities: [id, endUser, email, name],
  }
}

/** The caller's program, which LiteLLM puts among the tags. */
function agentOf(payload: JsonObject, metadata: JsonObject): string | undefined {
  const own = firstText(metadata, 'user_agent')
  if (own !== undefined || !Array.isArray(payload.request_tags)) return own
  const tag = payload.request_tags.find((item) => typeof item === 'string' && /^user-agent: /i.test(item))
  return typeof tag === 'string' ? tag.slice('user-agent: '.length) : undefined
}

/** A call of an MCP server's tool through the gateway. */
function toolOf(payload: JsonObject, metadata: JsonObject) {
  const call = isObject(metadata.mcp_tool_call_metadata) ? metadata.mcp_tool_call_metadata : payload.mcp_tool_call_metadata
  if (!isObject(call)) return undefined
  const args = readInnerJson(call.arguments)
  return {
    server: firstText(call, 'mcp_server_name'),
    fields: some({
      name: firstText(call, 'name'),
      call: some({ arguments: args !== undefined && Object.keys(args).length === 0 ? undefined : args }),
    }),
  }
}

function tagsOf(isTool: boolean): readonly LogSource[] {
  const tag = { product: AGENT_PRODUCT, service: 'litellm' }
  return isTool ? ['tool_call', 'mcp'].map((category) => ({ ...tag, category })) : [tag]
}
