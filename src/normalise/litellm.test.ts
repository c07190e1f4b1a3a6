import { expect, it } from 'vitest'
import type { JsonObject } from '../event/json.ts'
import { recognise } from './index.ts'
import { litellm } from './litellm.ts'

const base = {
  id: 'c-1',
  call_type: 'acompletion',
  status: 'success',
  response_cost: 0,
  startTime: 1790000000.1,
  endTime: 1790000001.2,
  model: 'm',
  metadata: {},
}
const ecsOf = (more: JsonObject) => litellm.normalise({ ...base, ...more })[0]!.ecs

it('says who called what, and how much', () => {
  const metadata = {
    user_api_key_user_id: 'ana',
    user_api_key_alias: 'key-7',
    user_api_key_team_id: 'finance',
    user_api_key_org_id: 'o',
    requester_ip_address: '10.0.0.21',
  }
  expect(
    ecsOf({
      metadata,
      end_user: 'ana@corp.example',
      prompt_tokens: 20,
      completion_tokens: '11',
      request_tags: ['x', 'User-Agent: cowork/1'],
    }),
  ).toMatchObject({
    '@timestamp': '2026-09-21T14:13:20.100Z',
    event: { action: 'api_request', code: 'acompletion', outcome: 'success', duration: 1_100_000_000 },
    user: { id: 'ana', email: 'ana@corp.example', group: { id: 'finance' } },
    related: { user: ['ana', 'ana@corp.example', 'key-7'], ip: ['10.0.0.21'] },
    organization: { id: 'o' },
    source: { ip: '10.0.0.21' },
    gen_ai: { operation: { name: 'chat' }, request: { model: 'm' }, usage: { input_tokens: 20, output_tokens: 11 } },
    user_agent: { original: 'cowork/1' },
  })
})

it('says what failed', () => {
  expect(
    ecsOf({ status: 'failure', error_str: 'no', error_information: { error_code: '429', error_class: 'RateLimitError' } }),
  ).toMatchObject({
    event: { action: 'api_error', outcome: 'failure' },
    error: { message: 'no', code: '429', type: 'RateLimitError' },
    http: { response: { status_code: 429 } },
  })
})

it('reads calls of MCP tools', () => {
  const call = { name: 'read_file', arguments: '{"path":"/x"}', mcp_server_name: 'files' }
  const [draft] = litellm.normalise({ ...base, call_type: 'call_mcp_tool', metadata: { mcp_tool_call_metadata: call } })
  expect(draft!.ecs).toMatchObject({
    gen_ai: { tool: { name: 'read_file', call: { arguments: { path: '/x' } } } },
    mcp: { server: { name: 'files' } },
  })
  expect(draft!.logsource.map(({ category }) => category)).toEqual(['tool_call', 'mcp'])
})

it('takes the payload out of what a callback was called with, and keeps all of that', () => {
  const record = { litellm_call_id: 'x', standard_logging_object: base }
  expect(recognise(record)).toBe(litellm)
  expect(litellm.normalise(record)).toMatchObject([{ ecs: { event: { code: 'acompletion' } }, native: record }])
})

it('takes odd ones, and refuses others', () => {
  expect(ecsOf({ metadata: 'x', hidden_params: [], error_information: 7, startTime: {}, endTime: null, response: 'text' })).toMatchObject({
    event: { outcome: 'success' },
  })
  expect(() => litellm.normalise({ model: 'm' })).toThrowError(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
  expect(recognise({ call_type: 'x', status: 'success' })).not.toBe(litellm)
})
