import { describe, expect, it } from 'vitest'
import { compileField } from '../../event/field.ts'
import { getPath, type Json, type JsonObject } from '../../event/json.ts'
import { normaliserFor } from '../index.ts'

type Plain = string | number | boolean | null | readonly string[]

const anyValue = (value: Plain): Json => {
  if (value === null) return {}
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'number') return Number.isInteger(value) ? { intValue: value } : { doubleValue: value }
  return { arrayValue: { values: value.map((item) => ({ stringValue: item })) } }
}
const attributes = (fields: Readonly<Record<string, Plain>>): Json =>
  Object.entries(fields).map(([key, value]) => ({ key, value: anyValue(value) }))

interface Given {
  readonly resource?: Readonly<Record<string, Plain>>
  readonly scope?: string
  readonly record?: JsonObject
}

const request = (fields: Readonly<Record<string, Plain>>, { resource = {}, scope, record = {} }: Given = {}): JsonObject => ({
  resourceLogs: [
    {
      resource: { attributes: attributes(resource) },
      scopeLogs: [
        {
          ...(scope === undefined ? {} : { scope: { name: scope } }),
          logRecords: [{ timeUnixNano: '1790000000000000000', ...record, attributes: attributes(fields) }],
        },
      ],
    },
  ],
})

function eventOf(source: string, fields: Readonly<Record<string, Plain>>, given?: Given) {
  const [draft, ...more] = normaliserFor(source).normalise(request(fields, given))
  expect(more).toEqual([])
  const categories = draft!.logsource.map((tag) => tag.category)
  expect(draft!.logsource.every((tag) => tag.product === 'ai_agent')).toBe(true)
  return { draft: draft!, categories, at: (path: string) => getPath(draft!.ecs, path) }
}

const claude = (fields: Readonly<Record<string, Plain>>, given?: Given) =>
  eventOf('agent.claude_cowork', fields, { resource: { 'service.name': 'claude-code' }, ...given })
const codex = (fields: Readonly<Record<string, Plain>>, given?: Given) =>
  eventOf('agent.codex', fields, { resource: { 'service.name': 'codex_exec' }, ...given })
const gemini = (fields: Readonly<Record<string, Plain>>, given?: Given) =>
  eventOf('agent.gemini_cli', fields, { resource: { 'service.name': 'gemini-cli' }, ...given })

it.each(['toString', 'hasOwnProperty', '__proto__', 'constructor'])(
  'an event of the name %s, which every object has, is one of no known kind',
  (name) => {
    const { at, categories } = claude({ 'event.name': name })
    expect(at('event.action')).toBe(name)
    expect(at('event.category')).toBeUndefined()
    expect(categories).toEqual([undefined])
  },
)

describe('agent telemetry', () => {
  it('has what was said, and what a tool gave back, where the conventions have them', () => {
    const said = (role: string, content: string) => [{ role, parts: [{ type: 'text', content }] }]
    for (const of of [claude, codex, gemini]) {
      const { at } = of({ 'event.name': 'user_prompt', prompt: 'read my mail' })
      expect(at('gen_ai.input.messages')).toEqual(said('user', 'read my mail'))
    }
    expect(claude({ 'event.name': 'assistant_response', response: 'done' }).at('gen_ai.output.messages')).toEqual(said('assistant', 'done'))
    expect(gemini({ 'event.name': 'gemini_cli.api_response', response_text: 'done' }).at('gen_ai.output.messages')).toEqual(
      said('assistant', 'done'),
    )
    const result = (output: string) =>
      codex({ 'event.name': 'codex.tool_result', tool_name: 'exec_command', output }).at('gen_ai.tool.call.result')
    expect(result('salary,1')).toEqual({ content: 'salary,1' })
    expect(result('{"rows":2}')).toEqual({ rows: 2 })
    expect(claude({ 'event.name': 'tool_result', prompt: 'x', tool_name: 'Read' }).at('gen_ai.input.messages')).toBeUndefined()
  })

  it('names the agent by its service, else by its scope, else by the source', () => {
    const nameOf = (source: string, given: Given) => eventOf(source, { 'event.name': 'x' }, given).at('gen_ai.agent.name')
    for (const [service, agent] of [
      ['cowork', 'cowork'],
      ['claude-code', 'claude'],
      ['codex_exec', 'codex'],
      ['codex_cli_rs', 'codex'],
      ['gemini-cli', 'gemini'],
    ]) {
      expect(nameOf('otlp', { resource: { 'service.name': service! } })).toBe(agent)
    }
    expect(nameOf('otlp', { resource: { 'service.name': 'team-a' }, scope: 'com.anthropic.claude_code.events' })).toBe('claude')
    expect(nameOf('agent.codex', { resource: { 'service.name': 'team-a' } })).toBe('codex')
  })

  it('reads a request that a collector has mixed, each record by its own agent, and leaves strangers unnamed', () => {
    const mixed = {
      resourceLogs: ['codex_exec', 'payments', 'gemini-cli'].flatMap(
        (name) => request({ 'event.name': 'x' }, { resource: { 'service.name': name } }).resourceLogs as Json[],
      ),
    }
    const drafts = normaliserFor('otlp').normalise(mixed)
    expect(drafts.map(({ ecs }) => getPath(ecs, 'gen_ai.agent.name'))).toEqual(['codex', undefined, 'gemini'])
    expect(drafts[1]!.logsource).toEqual([{ service: 'otlp_logs' }])
  })

  it("unifies the event names, and keeps the vendor's", () => {
    const actions = [
      claude({ 'event.name': 'tool_result', tool_name: 'Read' }),
      codex({ 'event.name': 'codex.tool_result', tool_name: 'exec_command' }),
      gemini({ 'event.name': 'gemini_cli.tool_call', function_name: 'read_file' }),
    ].map(({ at }) => [at('event.action'), at('event.code')])
    expect(actions).toEqual([
      ['tool_result', 'tool_result'],
      ['tool_result', 'codex.tool_result'],
      ['tool_result', 'gemini_cli.tool_call'],
    ])
    expect(claude({}, { record: { body: { stringValue: 'claude_code.api_request' } } }).at('event.action')).toBe('api_request')
    expect(
      codex({}, { record: { eventName: 'event otel/src/x.rs:7', body: { stringValue: 'flushing metrics' } } }).at('event.action'),
    ).toBeUndefined()
  })

  it('finds the file of a reading tool: a tool call and an access, unless it failed', () => {
    for (const read of [
      claude({ 'event.name': 'tool_result', tool_name: 'Read', success: 'true', tool_input: '{"file_path":"/sensitive/a.csv"}' }),
      claude({
        'event.name': 'tool_result',
        tool_name: 'NotebookRead',
        success: 'true',
        tool_input: '{"notebook_path":"/sensitive/x/../a.csv"}',
      }),
      gemini({
        'event.name': 'gemini_cli.tool_call',
        function_name: 'read_file',
        success: true,
        function_args: '{\n "absolute_path": "/sensitive/a.csv"\n}',
      }),
      codex({
        'event.name': 'codex.tool_result',
        tool_name: 'exec_command',
        success: 'true',
        arguments: '{"cmd":"cat a.csv","workdir":"/sensitive"}',
      }),
      codex({
        'event.name': 'codex.tool_result',
        tool_name: 'shell',
        success: 'true',
        arguments: '{"command":["bash","-lc","cat /sensitive/a.csv"]}',
      }),
      claude({
        'event.name': 'tool_result',
        tool_name: 'Read',
        success: 'true',
        tool_input: '{"file_path":"/sensitive/a.csv","content":"cut he',
      }),
    ]) {
      expect(read.at('file.path')).toBe('/sensitive/a.csv')
      expect(read.at('event.outcome')).toBe('success')
      expect(read.categories).toEqual(['tool_call', 'file_access'])
    }
    const failed = gemini({
      'event.name': 'gemini_cli.tool_call',
      function_name: 'read_file',
      success: false,
      function_args: '{"file_path":"/sensitive/a.csv"}',
    })
    expect(failed.at('file.path')).toBe('/sensitive/a.csv')
    expect(failed.at('event.outcome')).toBe('failure')
    expect(failed.categories).toEqual(['tool_call'])
  })

  it('finds several files: a list, a patch', () => {
    expect(
      gemini({ 'event.name': 'gemini_cli.tool_call', function_name: 'read_many_files', function_args: '{"paths":["/a","/b"]}' }).at(
        'file.path',
      ),
    ).toEqual(['/a', '/b'])
    const patch = codex({
      'event.name': 'codex.tool_result',
      tool_name: 'apply_patch',
      arguments: JSON.stringify({ input: '*** Begin Patch\n*** Update File: /a/b.ts\n@@\n*** Add File: /a/c.ts\n' }),
    })
    expect(patch.at('file.path')).toEqual(['/a/b.ts', '/a/c.ts'])
    expect(patch.categories).toEqual(['tool_call', 'file_event'])
  })

  it("has the command line of a shell tool under the agent's process, and the address of a fetching one, without a direction", () => {
    const bash = claude(
      { 'event.name': 'tool_result', tool_name: 'Bash', success: 'true', tool_parameters: '{"full_command":"curl https://x.example/q"}' },
      { resource: { 'service.name': 'claude-code', 'process.pid': 7 } },
    )
    expect(bash.at('process')).toEqual({ command_line: 'curl https://x.example/q', parent: { pid: 7 } })
    expect(bash.at('url.domain')).toBe('x.example')
    expect(bash.categories).toEqual(['tool_call', 'network_connection'])
    const fetched = gemini({
      'event.name': 'gemini_cli.tool_call',
      function_name: 'web_fetch',
      success: true,
      function_args: '{"prompt":"read https://y.example:8443/a?b and sum up"}',
    })
    expect(fetched.at('url')).toMatchObject({ domain: 'y.example', port: 8443, scheme: 'https' })
    expect([bash.at('network'), fetched.at('network'), fetched.at('destination')]).toEqual([undefined, undefined, undefined])
  })

  it('takes every spelling of an MCP tool', () => {
    for (const call of [
      claude({ 'event.name': 'tool_result', tool_name: 'mcp_tool', tool_parameters: '{"mcp_server_name":"mail","mcp_tool_name":"send"}' }),
      claude({ 'event.name': 'tool_result', tool_name: 'mcp_tool', 'mcp_server.name': 'mail', 'mcp_tool.name': 'send' }),
      claude({ 'event.name': 'tool_result', tool_name: 'mcp__mail__send' }),
      codex({ 'event.name': 'codex.tool_result', tool_name: 'send', mcp_server: 'mail' }),
      gemini({ 'event.name': 'gemini_cli.tool_call', function_name: 'send', mcp_server_name: 'mail' }),
    ]) {
      expect([call.at('mcp.server.name'), call.at('gen_ai.tool.name')]).toEqual(['mail', 'send'])
      expect(call.categories).toEqual(['tool_call', 'mcp'])
    }
  })

  it("tells by one word that nothing is asked any more, and keeps the vendor's", () => {
    const open = [
      claude({ 'event.name': 'permission_mode_changed', from_mode: 'default', to_mode: 'bypassPermissions' }),
      codex({ 'event.name': 'codex.conversation_starts', approval_policy: 'never', sandbox_policy: 'danger-full-access' }),
      gemini({ 'event.name': 'gemini_cli.config', approval_mode: 'yolo' }),
    ]
    const words = ['bypassPermissions', 'danger-full-access', 'yolo']
    open.forEach(({ at, categories }, index) => {
      expect(at('ai.permission.mode')).toContain('bypass')
      expect(at('ai.permission.mode')).toContain(words[index])
      expect(categories).toEqual(['permission'])
    })
    expect(open.map(({ at }) => at('event.action'))).toEqual(['permission_mode_changed', 'session_configured', 'session_configured'])
    for (const { at } of [
      claude({ 'event.name': 'permission_mode_changed', to_mode: 'acceptEdits' }),
      codex({ 'event.name': 'codex.conversation_starts', approval_policy: 'never', sandbox_policy: 'read-only' }),
      codex({ 'event.name': 'codex.conversation_starts', approval_policy: 'on-request', sandbox_policy: 'danger-full-access' }),
      gemini({ 'event.name': 'gemini_cli.config', approval_mode: 'default' }),
      gemini({ 'event.name': 'gemini_cli.user_prompt', approval_mode: 'yolo' }),
    ]) {
      expect(at('ai.permission.mode') ?? '').not.toContain('bypass')
    }
  })

  it('unifies decisions', () => {
    expect(claude({ 'event.name': 'tool_decision', decision: 'reject', source: 'user_abort' }).at('ai.permission')).toEqual({
      decision: 'reject',
      source: 'user_abort',
    })
    expect(codex({ 'event.name': 'codex.tool_decision', decision: 'approved_for_session', source: 'User' }).at('ai.permission')).toEqual({
      decision: 'accept',
      source: 'user',
    })
    expect(codex({ 'event.name': 'codex.tool_decision', decision: 'denied' }).at('event.type')).toEqual(['denied'])
  })

  it('coerces numbers sent as text, and takes a status for an outcome', () => {
    const { at } = codex({
      'event.name': 'codex.api_request',
      duration_ms: '85',
      'http.response.status_code': '503',
      input_token_count: '11',
    })
    expect([at('event.duration'), at('http.response.status_code'), at('gen_ai.usage.input_tokens'), at('event.outcome')]).toEqual([
      85_000_000,
      503,
      11,
      'failure',
    ])
    expect(claude({ 'event.name': 'api_error', status_code: 'undefined', error: 'x' }).at('http')).toBeUndefined()
  })

  it('takes the time from the record, else the event, else when it was observed', () => {
    const observed = { observedTimeUnixNano: '1790000009000000000' }
    const timeOf = (record: JsonObject, fields = {}) => codex({ 'event.name': 'x', ...fields }, { record }).draft.time
    expect(timeOf({ ...observed })).toBe(1790000000000)
    expect(timeOf({ ...observed, timeUnixNano: '0' }, { 'event.timestamp': '2026-09-21T14:13:20.5Z' })).toBe(1790000000500)
    expect(timeOf({ ...observed, timeUnixNano: 0 })).toBe(1790000009000)
    expect(timeOf({ timeUnixNano: '0' })).toBeNull()
  })

  it('keeps every attribute under its own name for rules, and an attribute cannot pose as the rest', () => {
    const { draft } = claude({ 'event.name': 'user_prompt', prompt: 'hello', otel: 'mine', 'workspace.host_paths': ['/a'] })
    const event = { ...draft, id: 'x', ingested: 0 }
    expect(compileField('prompt')(event)).toBe('hello')
    expect(compileField('workspace.host_paths')(event)).toEqual(['/a'])
    expect(compileField('otel.attributes.value')(event)).toEqual(['mine'])
  })

  it('keeps integers beyond 2^53, and both values of a repeated attribute', () => {
    const record = request({ 'event.name': 'x' })
    const list = [
      { key: 'big', value: { intValue: '9223372036854775807' } },
      { key: 'tool_name', value: { stringValue: 'Read' } },
      { key: 'tool_name', value: { stringValue: 'Write' } },
    ]
    const [draft] = normaliserFor('agent.codex').normalise({ resourceLogs: [{ scopeLogs: [{ logRecords: [{ attributes: list }] }] }] })
    expect(draft!.native).toMatchObject({
      big: 9223372036854775807n,
      tool_name: 'Read',
      otel: { attributes: [{ key: 'tool_name', value: { stringValue: 'Write' } }] },
    })
    expect(record).toEqual(request({ 'event.name': 'x' }))
  })

  it("numbers Claude's events by session, sequence and time", () => {
    const id = (fields: Record<string, Plain>) => claude({ 'event.name': 'x', ...fields }).draft.producerId
    expect(id({ 'session.id': 's', 'event.sequence': 3 })).toBe('s:3:1790000000000000000')
    expect(id({ 'session.id': 's' })).toBeUndefined()
  })

  it('tells a span as what it is, not as a second tool call', () => {
    const span = {
      name: 'tool_call',
      startTimeUnixNano: '1790000000000000000',
      endTimeUnixNano: '1790000000250000000',
      attributes: attributes({ 'gen_ai.tool.name': 'read_file' }),
    }
    const [draft] = normaliserFor('agent.gemini_cli').normalise({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] })
    expect(draft).toMatchObject({ time: 1790000000000, logsource: [{ product: 'ai_agent', service: 'gemini_cli_traces' }] })
    expect(getPath(draft!.ecs, 'event.duration')).toBe(250_000_000)
  })

  it('refuses what is no request of logs or traces', () => {
    for (const record of [
      {},
      { resourceMetrics: [] },
      { resourceLogs: {} },
      { resourceLogs: [1] },
      { resourceLogs: [{ scopeLogs: 'x' }] },
    ]) {
      expect(() => normaliserFor('agent.codex').normalise(record)).toThrowError(expect.objectContaining({ code: 'OTLP_INVALID' }))
    }
    expect(normaliserFor('agent.codex').normalise({ resourceLogs: [] })).toEqual([])
  })
})
