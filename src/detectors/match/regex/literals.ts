import { fold } from '../fold.ts'
import type { Regex } from './parse.ts'

const MOST_ALTERNATIVES = 64

/** Folded texts of which at least one must occur. */
type Alternatives = readonly string[]

/**
 * What must occur in whatever the expression matches: one of each of these alternatives, the longest texts first. The index looks for
 * them, and the expression itself runs only where all were found.
 */
export function requiredLiterals(regex: Regex): readonly Alternatives[] {
  return requirements(regex)
    .filter((alternatives) => !alternatives.includes(''))
    .toSorted((a, b) => shortest(b) - shortest(a))
}

const shortest = (alternatives: Alternatives) => Math.min(...alternatives.map((text) => text.length))

function requirements(regex: Regex): readonly Alternatives[] {
  switch (regex.kind) {
    case 'capture':
      return requiredLiterals(regex.item)
    case 'repeat':
      return regex.min > 0 ? requiredLiterals(regex.item) : []
    case 'sequence':
      return sequenceRequirements(regex.items)
    case 'choice': {
      const best = regex.items.map((item) => requiredLiterals(item)[0])
      const together = best.flatMap((alternatives) => alternatives ?? [])
      return best.includes(undefined) || together.length > MOST_ALTERNATIVES ? [] : [together]
    }
    case 'set':
    case 'edge':
    case 'look':
    case 'backreference': {
      const text = literalOf(regex)
      return text === undefined ? [] : [[text]]
    }
  }
}

/** Runs of neighbouring literal characters, and what the parts between them require. */
function sequenceRequirements(items: readonly Regex[]): readonly Alternatives[] {
  const found: Alternatives[] = []
  let run = ''
  for (const item of items) {
    const text = literalOf(item)
    if (text !== undefined) {
      run += text
      continue
    }
    const repeated = item.kind === 'repeat' && item.min > 0 ? literalOf(item.item) : undefined
    found.push([run + (repeated ?? '')])
    // The last turn of a repetition stands right before what follows.
    run = repeated ?? ''
    if (repeated === undefined) found.push(...requiredLiterals(item))
  }
  return [...found, [run]]
}

/** The one text, folded, that a node matches, if it matches only one. */
function literalOf(node: Regex): string | undefined {
  if (node.kind === 'capture') return literalOf(node.item)
  if (node.kind === 'sequence') {
    const texts = node.items.map(literalOf)
    return texts.includes(undefined) ? undefined : texts.join('')
  }
  if (node.kind !== 'set' || node.negated || node.properties.length > 0) return undefined
  if (node.ranges.some(([first, last]) => first !== last)) return undefined
  const characters = new Set(node.ranges.map(([point]) => fold(String.fromCodePoint(point))))
  return characters.size === 1 ? [...characters][0] : undefined
}
