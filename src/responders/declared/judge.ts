import { CordonError } from '../../event/error.ts'
import { type Json, parseForeignJson } from '../../event/json.ts'
import { VendorError } from '../failure.ts'
import type { HttpResponse } from '../http.ts'
import { compileTemplate, type TemplateData } from '../template.ts'
import type { Condition, Look } from './definition.ts'
import { valueAt } from './place.ts'

/** An answer as conditions see it. */
export interface Answer {
  readonly status: number
  /** Undefined where it is no JSON. */
  readonly body: Json | undefined
}

/** What conditions may ask besides what the answer says. */
export interface Facts {
  readonly data: TemplateData
  readonly found?: boolean
  readonly answered?: boolean
}

export function answerOf({ status, body }: HttpResponse): Answer {
  try {
    return { status, body: parseForeignJson(body) }
  } catch {
    return { status, body: undefined }
  }
}

export function holds(conditions: readonly Condition[], answer: Answer, facts: Facts): boolean {
  return conditions.every((condition) => one(condition, answer, facts))
}

function one(condition: Condition, { status, body }: Answer, { data, found, answered }: Facts): boolean {
  if (condition.status !== undefined && !condition.status.includes(status)) return false
  if (condition.found !== undefined && condition.found !== found) return false
  if (condition.answered !== undefined && condition.answered !== answered) return false
  if (condition.at === undefined && condition.value === undefined) return true
  const value = condition.at === undefined ? filled(condition.value!, data) : textOf(valueAt(body, condition.at))
  if (condition.exists !== undefined && condition.exists !== (value !== undefined)) return false
  if (condition.is !== undefined && !condition.is.some((text) => value !== undefined && value === filled(String(text), data))) return false
  if (condition.contains !== undefined) {
    const part = filled(condition.contains, data)
    if (value === undefined || part === undefined || part === '' || !value.includes(part)) return false
  }
  // Two times that cannot be compared are not in this order.
  return condition.after === undefined || Date.parse(value ?? '') >= Date.parse(filled(condition.after, data) ?? '')
}

/** A template that names what has no value here says nothing. */
function filled(text: string, data: TemplateData): string | undefined {
  const template = compileTemplate(text)
  return template.names.every((name) => Object.hasOwn(data, name)) ? template.render(data) : undefined
}

/** Scalars as text; lists, objects and null have none. */
export function textOf(value: Json | undefined): string | undefined {
  return value === undefined || value === null || typeof value === 'object' ? undefined : String(value)
}

/** What a look found: the one thing that fits, how many fit, and what was taken from it. */
export interface Found {
  readonly item: Json | undefined
  readonly count: number
  readonly taken: Readonly<Record<string, string>>
}

/**
 * Looks into an answer of success.
 *
 * @throws VendorError where the answer is not what the look is for: that it finds nothing there proves nothing
 * @throws CordonError `RESPONDER_TARGET` where only one may fit and several do
 */
export function find(look: Look, answer: Answer, facts: Facts): Found {
  const list = look.list === undefined ? [answer.body] : valueAt(answer.body, look.list)
  if (answer.body === undefined || !Array.isArray(list)) {
    const place = look.list === undefined ? '' : ` with a list at ${look.list}`
    throw new VendorError({ kind: 'unknown', reason: `the answer is not JSON${place}` }, 'does url lead to the vendor itself?')
  }
  const fitting = list.filter((item) => holds(look.where ?? [], { status: answer.status, body: item }, facts))
  if (look.which === 'only' && fitting.length > 1) {
    throw new CordonError('RESPONDER_TARGET', `the vendor has ${fitting.length} that fit, and only one may be acted upon`, {
      hint: 'name the target by an id that the vendor has once',
    })
  }
  const { newest_by: by } = look
  const timeOf = (item: Json | undefined) => Date.parse(textOf(valueAt(item, by ?? '')) ?? '') || 0
  const [item] = by === undefined ? fitting : fitting.toSorted((a, b) => timeOf(b) - timeOf(a))
  return { item, count: fitting.length, taken: take(look.take, item) }
}

/** Values of an answer by the names that a file gives them; what is not there is left out. */
export function take(wanted: Readonly<Record<string, string>>, item: Json | undefined): Readonly<Record<string, string>> {
  const taken = Object.entries(wanted).flatMap(([name, pointer]) => {
    const value = textOf(valueAt(item, pointer))
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(taken)
}
