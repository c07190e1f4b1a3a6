import { isObject, type Json, type JsonObject, stringifyJson } from '../event/json.ts'
import type { RuleTest } from './ast.ts'
import { get, nodeAt, toData, type YamlMap } from './yaml.ts'

/**
 * The test cases of an Agent Threat Rule as rule tests: each is one event that must alert, or must not. Its texts stand in the fields
 * in which the test runner of the package `agent-threat-rules` puts them (`buildEventFromTestCase` of its `cli`).
 */
export function readAgentThreatTests(root: YamlMap): RuleTest[] {
  const source = get(root, 'agent_source')
  const type = source?.kind === 'map' ? get(source, 'type') : undefined
  const isResponse = type?.kind === 'scalar' && type.text === 'mcp_exchange'
  return (['true_positives', 'true_negatives'] as const).flatMap((kind) => {
    const cases = nodeAt(root, ['test_cases', kind])
    if (cases.kind !== 'list') return []
    return cases.items.flatMap((item, at) => {
      const value = toData(item)
      if (!isObject(value)) return []
      const name = typeof value.description === 'string' ? value.description : 'no description'
      return {
        name: `${kind === 'true_positives' ? 'true positive' : 'true negative'} ${at + 1}: ${name}`,
        events: [eventOf(value, isResponse)],
        shuffle: false,
        expect: { alerts: kind === 'true_positives' ? 1 : 0 },
        where: item.position,
      }
    })
  })
}

/** @param isResponse the rule is about what tools answer, so what a case does not place otherwise is an answer */
function eventOf(given: JsonObject, isResponse: boolean): JsonObject {
  const raw = given.input ?? given.user_input
  const inner = isObject(raw) ? raw : {}
  const call = isObject(given.tool_call) ? given.tool_call : {}
  const name = textOf(given.tool_name) || textOf(call.name) || textOf(inner.tool_name)
  const args = textOf(given.tool_args) || textOf(call.args) || textOf(inner.tool_args)
  const response = textOf(given.tool_response) || textOf(inner.response) || textOf(inner.tool_response)
  const output = textOf(given.agent_output)
  const description = textOf(given.tool_description)
  const input = isObject(raw) ? args || (response === '' ? textOf(raw) : '') : textOf(raw)
  const content = (isResponse && response) || input || description || textOf(given.content) || response || output
  const texts: Readonly<Record<string, string>> = {
    'gen_ai.input.messages': input || (isResponse ? '' : content),
    'gen_ai.output.messages': output || (isResponse ? content : ''),
    'gen_ai.tool.name': name,
    'gen_ai.tool.call.arguments': args || input,
    'gen_ai.tool.call.result': response || (isResponse ? content : ''),
    'gen_ai.tool.description': description,
  }
  return Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ''))
}

function textOf(value: Json | undefined): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : stringifyJson(value)
}

/** The text of an Agent Threat Rule without its test cases, every line at its place; undefined for another text, or one that has none. */
export function withoutTestCases(text: string): { readonly text: string; readonly line: number } | undefined {
  const lines = text.split('\n')
  const from = lines.indexOf('test_cases:')
  if (from < 0 || !lines.some((line) => line.startsWith('agent_source:'))) return undefined
  const next = lines.findIndex((line, at) => at > from && /^[a-z_]+:(?:\s|$)/.test(line))
  const kept = lines.map((line, at) => (at >= from && (next < 0 || at < next) ? '' : line))
  return { text: kept.join('\n'), line: from + 1 }
}
