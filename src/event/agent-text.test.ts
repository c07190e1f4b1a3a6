import { expect, test } from 'vitest'
import { textsIn } from './agent-text.ts'
import type { Event } from './event.ts'
import { compileField } from './field.ts'
import type { JsonObject } from './json.ts'

const event = (ecs: JsonObject, native?: JsonObject): Event => ({
  id: 'x',
  time: 0,
  ingested: 0,
  logsource: [],
  ecs,
  ...(native === undefined ? {} : { native }),
})

test('a structure counts as its JSON text and as each text in it', () => {
  expect(textsIn([{ command: 'rm -rf /', n: 1, deep: [{ a: 'b' }] }])).toEqual([
    '{"command":"rm -rf /","n":1,"deep":[{"a":"b"}]}',
    'rm -rf /',
    'b',
  ])
  expect(textsIn(['plain', undefined, null, 7])).toEqual(['plain'])
})

test('what hides behind look-alike forms or invisible characters is found in its plain form too', () => {
  expect(textsIn(['ｉｇｎｏｒｅ all'])).toEqual(['ｉｇｎｏｒｅ all', 'ignore all'])
  expect(textsIn(['ig\u200Bnore'])).toEqual(['ig\u200Bnore', 'ignore'])
  expect(textsIn(['Grüße'])).toEqual(['Grüße'])
})

test('the fields of Agent Threat Rules read what an agent was told, says, and hands to tools', () => {
  const said = event({
    gen_ai: {
      input: { messages: [{ role: 'user', parts: [{ type: 'text', content: 'a prompt' }] }] },
      tool: { name: 'shell', call: { arguments: { command: 'ls' }, result: { content: 'an answer' } } },
    },
  })
  const read = (name: string, from = said) => compileField(name)(from)
  expect(read('atr.user_input')).toEqual(expect.arrayContaining(['a prompt', 'an answer']))
  expect(read('atr.tool_args')).toEqual(['{"command":"ls"}', 'ls'])
  expect(read('atr.tool_response')).toContain('an answer')
  expect(read('atr.tool_name')).toEqual(['shell'])
  expect(read('atr.agent_output')).toBeUndefined()
  expect(read('atr.content')).toEqual(expect.arrayContaining(['a prompt', 'shell', 'ls', 'an answer']))
  expect(read('atr.content', event({ host: { name: 'h' } }))).toBeUndefined()
  // A span has them as attributes of its own.
  expect(read('atr.user_input', event({}, { 'gen_ai.input.messages': '[{"role":"user"}]' }))).toEqual(['[{"role":"user"}]'])
})
