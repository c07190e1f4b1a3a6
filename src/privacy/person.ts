import { createHmac } from 'node:crypto'
import { isObject, type Json, type JsonObject, setOwn } from '../event/json.ts'

/** Of a name that stands within a longer one, nothing is replaced. */
const BEFORE = '(?<![\\p{L}\\p{N}_.@-])'
const BEHIND = '(?!\\.?[\\p{L}\\p{N}_@-])'

/** A person who is to be forgotten: what names them, and what stands in its place. */
export class Person {
  /** The same for the same person and salt, so that what was theirs still belongs together. Without the salt it leads to nobody. */
  readonly pseudonym: string
  private readonly form: RegExp

  /** @param names their id, addresses and other names; the first is the one that the pseudonym is made of */
  constructor(names: readonly [string, ...string[]], salt: Uint8Array) {
    this.pseudonym = `person-${createHmac('sha256', salt).update(names[0].toLowerCase()).digest('hex').slice(0, 12)}`
    const longestFirst = names.toSorted((a, b) => b.length - a.length).map((name) => RegExp.escape(name))
    this.form = new RegExp(`${BEFORE}(?:${longestFirst.join('|')})${BEHIND}`, 'giu')
  }

  /** The text without the person. The same text, if it does not name them. */
  replaced(text: string): string {
    return text.replace(this.form, this.pseudonym)
  }

  /** So with every text and name of a value. The same value, if none names them. */
  replacedIn(value: Json): Json {
    if (typeof value === 'string') return this.replaced(value)
    if (Array.isArray(value)) {
      const items = value.map((item) => this.replacedIn(item))
      return items.some((item, at) => item !== value[at]) ? items : value
    }
    return isObject(value) ? this.replacedInObject(value) : value
  }

  private replacedInObject(object: JsonObject): JsonObject {
    const result: JsonObject = {}
    let changed = false
    for (const [name, value] of Object.entries(object)) {
      const [shown, redacted] = [this.replaced(name), this.replacedIn(value)]
      changed ||= shown !== name || redacted !== value
      setOwn(result, shown, redacted)
    }
    return changed ? result : object
  }
}
