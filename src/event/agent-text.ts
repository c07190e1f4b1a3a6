import { isObject, type Json, stringifyJson } from './json.ts'

const INPUT = 'gen_ai.input.messages'
const OUTPUT = 'gen_ai.output.messages'
const TOOL = 'gen_ai.tool.name'
const ARGUMENTS = 'gen_ai.tool.call.arguments'
const RESULT = 'gen_ai.tool.call.result'
const DESCRIPTIONS = ['gen_ai.tool.description', 'gen_ai.tool.definitions'] as const

/**
 * What is said to, by and around an agent, by the names that Agent Threat Rules have for it, and where events have it. What a tool
 * answers is input too: the model reads it as it reads a prompt.
 */
export const AGENT_TEXT: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ['atr.user_input', [INPUT, RESULT]],
  ['atr.agent_output', [OUTPUT]],
  ['atr.tool_name', [TOOL]],
  ['atr.tool_args', [ARGUMENTS]],
  ['atr.tool_response', [RESULT]],
  ['atr.tool_description', DESCRIPTIONS],
  ['atr.content', [INPUT, OUTPUT, TOOL, ARGUMENTS, RESULT, ...DESCRIPTIONS]],
])

/** Zero-width characters and marks that turn the direction of writing: nobody sees them, and they break words apart. */
const INVISIBLE = /[\u200B-\u200F\u2060\uFEFF\u180E\u202A-\u202E\u2066-\u2069]/g
const SPECIAL = /[^\p{ASCII}]/u

/**
 * The texts in values: as they are, and where they hide behind look-alike forms or invisible characters also in their plain form. A
 * structure counts as its JSON text and as each text in it.
 */
export function textsIn(values: readonly (Json | undefined)[]): string[] {
  const texts = new Set<string>()
  for (const value of values) {
    if (typeof value === 'object' && value !== null) texts.add(stringifyJson(value))
    collect(value, texts)
  }
  for (const text of [...texts]) if (SPECIAL.test(text)) texts.add(text.normalize('NFKC').replace(INVISIBLE, ''))
  return [...texts]
}

function collect(value: Json | undefined, texts: Set<string>): void {
  if (typeof value === 'string') texts.add(value)
  else if (Array.isArray(value)) for (const item of value) collect(item, texts)
  else if (isObject(value)) for (const key in value) collect(value[key], texts)
}
