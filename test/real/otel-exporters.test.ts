import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OTLPLogExporter as JsonExporter } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtobufExporter } from '@opentelemetry/exporter-logs-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../src/engine/config.ts'
import { openKeys } from '../../src/engine/door/keys.ts'
import { type Engine, startEngine } from '../../src/engine/engine.ts'
import type { Event } from '../../src/event/event.ts'
import { getPath, getText } from '../../src/event/json.ts'
import { eventsIn } from '../kits/event-log.ts'
import { freePort } from './servers/server.ts'

const folder = mkdtempSync(join(tmpdir(), 'cordon-real-otel-'))
const data = join(folder, 'data')
const port = await freePort()
let engine: Engine
let token: string
beforeAll(async () => {
  token = openKeys(join(data, 'tokens.json')).fresh!.ingest
  const config = { data, rules: [], listen: { ingest: { port }, api: { port: 0 } } }
  writeFileSync(join(folder, 'cordon.yml'), JSON.stringify(config))
  engine = await startEngine(loadConfig(join(folder, 'cordon.yml')), {
    onAlert: () => {},
    onChange: () => {},
    onError: (where, problem) => console.warn(where, problem),
    onNote: () => {},
  })
})
afterAll(async () => {
  await engine.stop()
  rmSync(folder, { recursive: true })
})

async function eventsOf(session: string): Promise<readonly Event[]> {
  return (await eventsIn(data)).filter(({ ecs }) => getText(ecs, 'gen_ai.conversation.id') === session)
}

test.each([
  ['JSON', JsonExporter, 'none'],
  ['JSON, compressed', JsonExporter, 'gzip'],
  ['protobuf', ProtobufExporter, 'none'],
  ['protobuf, compressed', ProtobufExporter, 'gzip'],
] as const)('the SDK of OpenTelemetry exports over HTTP: %s', async (form, Exporter, compression) => {
  const headers = { authorization: `Bearer ${token}` }
  const exporter = new Exporter({ url: `http://127.0.0.1:${port}/v1/logs`, headers, compression: compression as never })
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ 'service.name': 'claude-code', 'service.version': '2.1.0', 'host.name': 'laptop-7' }),
    processors: [new SimpleLogRecordProcessor({ exporter })],
  })
  const attributes = {
    'event.name': 'tool_result',
    'session.id': form,
    tool_name: 'Read',
    success: 'true',
    duration_ms: 12,
    tool_input: JSON.stringify({ file_path: '/sensitive/payroll.csv' }),
  }
  const timestamp = Date.parse('2026-11-20T10:00:00Z')
  provider.getLogger('com.anthropic.claude_code.events').emit({ timestamp, body: 'claude_code.tool_result', attributes })
  await provider.forceFlush()
  await provider.shutdown()

  const [event, ...others] = await eventsOf(form)
  expect(others).toEqual([])
  expect(event?.time).toBe(timestamp)
  const ecs = event?.ecs ?? {}
  expect(
    Object.fromEntries(
      ['event.action', 'event.outcome', 'gen_ai.agent.name', 'file.path', 'device.id'].map((path) => [path, getPath(ecs, path)]),
    ),
  ).toEqual({
    'event.action': 'tool_result',
    'event.outcome': 'success',
    'gen_ai.agent.name': 'claude',
    'file.path': '/sensitive/payroll.csv',
    'device.id': 'laptop-7',
  })
})
