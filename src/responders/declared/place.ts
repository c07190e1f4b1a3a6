import { CordonError } from '../../event/error.ts'
import { isObject, type Json, stringifyJson } from '../../event/json.ts'
import type { HttpRequest } from '../http.ts'
import { compileTemplate, fillTemplate, type TemplateData } from '../template.ts'
import type { ActRequest, LookTarget } from './definition.ts'

/** Where values are put into a request. Each lands in a parsed structure: none can become a second path, parameter, header or key. */

/** What a vendor's query language reads as one word, whichever that language is. */
const WORD = /^[\w.:@+-]*$/
const HEADER = /^[\t\x20-\x7e]*$/

/**
 * A value amid other text of a path or a query is read by the vendor as part of a language (OData, RSQL, JQL …), so it must be one
 * word. A value that stands alone may hold anything: it is encoded.
 *
 * @throws CordonError `RESPONDER_VALUE`, `TEMPLATE_NAME`
 */
export function placeText(text: string, data: TemplateData): string {
  const template = compileTemplate(text)
  const alone = template.names.length === 1 && text.trim() === text && /^\{\{[^{}]*\}\}$/.test(text)
  return template.render(data, alone ? undefined : oneWord)
}

function oneWord(value: string): string {
  if (WORD.test(value)) return value
  throw new CordonError('RESPONDER_VALUE', `${JSON.stringify(value.slice(0, 60))} cannot stand in a query of the vendor`, {
    hint: 'only letters, digits and _ . : @ + - are let into a query; give the target another id or name in the inventory',
  })
}

/** @throws CordonError `RESPONDER_VALUE` for a value that would make another path of it */
export function placePath(path: string, data: TemplateData): string {
  return path
    .split('/')
    .map((segment) => {
      if (compileTemplate(segment).names.length === 0) return segment
      const value = placeText(segment, data)
      // A URL takes them as steps, however they are encoded.
      if (value === '' || value === '.' || value === '..' || !value.isWellFormed())
        throw new CordonError('RESPONDER_VALUE', `${JSON.stringify(value)} cannot be a part of a path`, {
          hint: 'the id that the inventory or the vendor has for the target is none',
        })
      return encodeURIComponent(value)
    })
    .join('/')
}

export function placeTarget({ path, query, headers }: LookTarget, data: TemplateData): { path: string; headers: Record<string, string> } {
  const search = new URLSearchParams(
    Object.entries(query).map(([key, value]): [string, string] => [key, placeText(value, data)]),
  ).toString()
  return { path: `${placePath(path, data)}${search === '' ? '' : `?${search}`}`, headers: placeHeaders(headers, data) }
}

export function placeHeaders(headers: Readonly<Record<string, string>>, data: TemplateData): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([key, value]) => [key.toLowerCase(), placeHeader(value, data)]))
}

/** @throws CordonError `RESPONDER_VALUE`, without the value, which may be a secret */
export function placeHeader(text: string, data: TemplateData): string {
  const value = compileTemplate(text).render(data)
  if (HEADER.test(value)) return value
  throw new CordonError('RESPONDER_VALUE', `what ${text} stands for cannot be in a header`, {
    hint: 'a header takes one line of ASCII: does the secret or setting have a line break in it?',
  })
}

/** What is sent besides the target: JSON, or a form. */
export function placeBody({ json, form }: ActRequest, data: TemplateData): Pick<HttpRequest, 'body' | 'headers'> {
  if (json !== undefined) return { body: stringifyJson(fillTemplate(json as Json, data)), headers: { 'content-type': 'application/json' } }
  if (form === undefined) return {}
  const fields = Object.entries(form).map(([key, value]): [string, string] => [key, compileTemplate(value).render(data)])
  return { body: new URLSearchParams(fields).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' } }
}

/** Slack, "Escaping text": without it a value could call everybody, or dress up a link. */
export function mrkdwn(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/** The value at a JSON pointer (RFC 6901); undefined where there is none. */
export function valueAt(value: Json | undefined, pointer: string): Json | undefined {
  let at = value
  for (const step of pointer.split('/').slice(1)) {
    const key = step.replaceAll('~1', '/').replaceAll('~0', '~')
    if (Array.isArray(at)) at = /^\d+$/.test(key) ? at[Number(key)] : undefined
    else at = isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined
  }
  return at
}
