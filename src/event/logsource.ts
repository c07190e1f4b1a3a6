import type { LogSource } from './event.ts'

/** The product under which the acts of AI agents are found, whichever sensor saw them. */
export const AGENT_PRODUCT = 'ai_agent'

/** The same log sources, and each category also under the product `ai_agent`: what an agent does is found by rules about agents. */
export function withAgentTags(tags: readonly LogSource[]): readonly LogSource[] {
  const own = tags.filter((tag) => tag.product === AGENT_PRODUCT)
  const missing = new Set(tags.flatMap(({ category }) => (category === undefined ? [] : [category])))
  for (const tag of own) missing.delete(tag.category ?? '')
  if (missing.size === 0 && own.length > 0) return tags
  const added = missing.size === 0 ? [{ product: AGENT_PRODUCT }] : [...missing].map((category) => ({ product: AGENT_PRODUCT, category }))
  return [...tags, ...added]
}

/** Without repeats. */
export function distinctTags(tags: readonly LogSource[]): readonly LogSource[] {
  if (tags.length < 2) return tags
  const seen = new Set<string>()
  return tags.filter(({ product = '', category = '', service = '' }) => {
    const key = `${product}/${category}/${service}`
    return !seen.has(key) && seen.add(key)
  })
}
