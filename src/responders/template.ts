import mustache from 'mustache'
import { CordonError } from '../event/error.ts'
import { isObject, type Json, type JsonObject, setOwn } from '../event/json.ts'

/** What a template may name: a flat map, so that nothing can be walked into. `{{device.name}}` is the name `device.name`. */
export type TemplateData = Readonly<Record<string, string>>
export type Escape = (value: string) => string

export interface Template {
  /** The names that it uses. */
  readonly names: readonly string[]
  /** @throws CordonError `TEMPLATE_NAME` if the data lack a name */
  render(data: TemplateData, escapeValue?: Escape): string
}

/**
 * Compiles a text with `{{name}}` in it. Only that: mustache's sections, partials, delimiters and unescaped forms are refused, so a
 * template says what it will look like, and a value can only ever be a value.
 *
 * @throws CordonError `TEMPLATE_INVALID`
 */
export function compileTemplate(text: string): Template {
  const tokens = parse(text)
  const names = tokens.flatMap(([kind, name]) => (kind === 'name' ? [name] : []))
  return {
    names,
    render: (data, escapeValue = (value) => value) =>
      tokens.map(([kind, value]) => (kind === 'text' ? value : escapeValue(lookUp(data, value)))).join(''),
  }
}

/**
 * Fills every string of a parsed structure that has templates in it. Values land in the structure, never in text that is parsed
 * afterwards: whatever an event holds, the result has the same keys and the same shape.
 *
 * @throws CordonError `TEMPLATE_INVALID`, `TEMPLATE_NAME`
 */
export function fillTemplate(structure: Json, data: TemplateData, escapeValue?: Escape): Json {
  if (typeof structure === 'string') return compileTemplate(structure).render(data, escapeValue)
  if (Array.isArray(structure)) return structure.map((item) => fillTemplate(item, data, escapeValue))
  if (!isObject(structure)) return structure
  const filled: JsonObject = {}
  for (const [key, value] of Object.entries(structure)) setOwn(filled, key, fillTemplate(value, data, escapeValue))
  return filled
}

type Token = readonly ['text' | 'name', string]

function parse(text: string): Token[] {
  let tokens: readonly (readonly unknown[])[]
  try {
    tokens = mustache.parse(text)
  } catch (error) {
    throw new CordonError('TEMPLATE_INVALID', (error as Error).message, { hint: 'only {{name}} is allowed in a template' })
  }
  return tokens.map(([kind, value]): Token => {
    if ((kind === 'text' || kind === 'name') && typeof value === 'string' && value !== '') return [kind, value]
    throw new CordonError('TEMPLATE_INVALID', `{{${String(kind)}${String(value)}}} is not allowed`, {
      hint: 'only {{name}} is allowed in a template',
    })
  })
}

function lookUp(data: TemplateData, name: string): string {
  const value = Object.hasOwn(data, name) ? data[name] : undefined
  if (value === undefined) {
    throw new CordonError('TEMPLATE_NAME', `{{${name}}} has no value here`, { hint: `there are: ${Object.keys(data).sort().join(', ')}` })
  }
  return value
}
