import type { LogSource } from '../../event/event.ts'

/** Whether a rule for `wanted` applies to an event with these tags: one tag agrees on every key that the rule names. */
export function appliesTo(wanted: LogSource, tags: readonly LogSource[]): boolean {
  if (wanted.product === undefined && wanted.category === undefined && wanted.service === undefined) return true
  return tags.some((tag) => agrees(wanted, tag))
}

function agrees(wanted: LogSource, tag: LogSource): boolean {
  return (
    (wanted.product === undefined || wanted.product === tag.product) &&
    (wanted.category === undefined || wanted.category === tag.category) &&
    (wanted.service === undefined || wanted.service === tag.service)
  )
}

/** A log source for people: `product: linux, category: process_creation`. */
export function describeLogSource(source: LogSource): string {
  const named = (['product', 'category', 'service'] as const).filter((key) => source[key] !== undefined)
  return named.length === 0 ? 'none' : named.map((key) => `${key}: ${source[key]}`).join(', ')
}
