import type { Json, JsonObject } from '../../event/json.ts'
import { readInnerJson } from '../inner-json.ts'
import { firstText } from '../shape.ts'

/** What was said: a message as OpenTelemetry's conventions for generative AI have it, in a list of one. */
function message(role: 'user' | 'assistant', text: string | undefined): Json | undefined {
  return text === undefined ? undefined : [{ role, parts: [{ type: 'text', content: text }] }]
}

/** `gen_ai.input.messages`: the prompt (Claude, Codex, Gemini: `prompt`). */
export function inputMessages(attributes: JsonObject, action: string | undefined): Json | undefined {
  return action === 'user_prompt' ? message('user', firstText(attributes, 'prompt')) : undefined
}

/** `gen_ai.output.messages`: what the model answered (Claude `response`, Gemini `response_text`). */
export function outputMessages(attributes: JsonObject): Json | undefined {
  return message('assistant', firstText(attributes, 'response', 'response_text'))
}

/** `gen_ai.tool.call.result`: what a tool gave back (Codex `output`); an object, because ECS has its parts as fields. */
export function toolResult(attributes: JsonObject): Json | undefined {
  const text = firstText(attributes, 'output', 'tool_output', 'tool_result')
  return text === undefined ? undefined : (readInnerJson(text) ?? { content: text })
}
