import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { isObject, type Json, type JsonObject, setOwn } from '../event/json.ts'
import { unescapeXml } from './xml-text.ts'

/** Dictionaries and arrays in one another: an answer of a device has three. */
const MOST_LEVELS = 32

/** In order, since a dictionary is keys and values in turn. The document type that every property list names is taken off before. */
const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  parseTagValue: false,
  trimValues: false,
  processEntities: false,
})

/**
 * The dictionary of an Apple property list in XML, as JSON: dates and data stay the text that they are. Undefined if it is none. (The usual
 * reader of property lists prints what it cannot read on the console, where nothing of a sender's may go unredacted.)
 */
export function readPlist(text: string): JsonObject | undefined {
  const xml = text.replace(/<!DOCTYPE\s+plist\s[^>[]*>/, '')
  if (/<!(?:DOCTYPE|ENTITY)/i.test(xml) || XMLValidator.validate(xml) !== true) return undefined
  try {
    const root = elementsOf(parser.parse(xml)).find(({ name }) => name === 'plist')
    const [value] = root === undefined ? [] : elementsOf(root.inner)
    const read = value === undefined ? undefined : jsonOf(value, 0)
    return isObject(read) ? read : undefined
  } catch {
    return undefined
  }
}

interface Element {
  readonly name: string
  readonly inner: unknown
}

/** The elements among a node's contents, as the parser gives them: one object each, whose one key is its name. */
function elementsOf(contents: unknown): readonly Element[] {
  if (!Array.isArray(contents)) return []
  return contents.flatMap((node) => {
    const [name, inner] = isObject(node) ? (Object.entries(node)[0] ?? []) : []
    return name === undefined || name === '#text' ? [] : [{ name, inner }]
  })
}

function textOf(contents: unknown): string {
  if (!Array.isArray(contents)) return ''
  return unescapeXml(contents.map((node) => (isObject(node) && typeof node['#text'] === 'string' ? node['#text'] : '')).join(''))
}

function jsonOf({ name, inner }: Element, level: number): Json | undefined {
  switch (name) {
    case 'true':
      return true
    case 'false':
      return false
    case 'integer':
      return integerOf(textOf(inner).trim())
    case 'real':
      return numberOf(textOf(inner).trim())
    case 'data':
      return textOf(inner).replaceAll(/\s+/g, '')
    case 'array':
      return level < MOST_LEVELS ? elementsOf(inner).map((item) => jsonOf(item, level + 1) ?? null) : undefined
    case 'dict':
      return level < MOST_LEVELS ? dictionaryOf(elementsOf(inner), level + 1) : undefined
    default:
      return textOf(inner)
  }
}

function dictionaryOf(elements: readonly Element[], level: number): JsonObject {
  const dictionary: JsonObject = {}
  for (const [at, { name, inner }] of elements.entries()) {
    const next = elements[at + 1]
    const value = name === 'key' && next !== undefined && next.name !== 'key' ? jsonOf(next, level) : undefined
    if (value !== undefined) setOwn(dictionary, textOf(inner), value)
  }
  return dictionary
}

function integerOf(text: string): Json {
  if (!/^-?\d{1,19}$/.test(text)) return text
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : BigInt(text)
}

function numberOf(text: string): Json {
  const number = Number(text)
  return text !== '' && Number.isFinite(number) ? number : text
}
