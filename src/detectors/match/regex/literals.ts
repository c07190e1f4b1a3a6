import { fold } from '../fold.ts'
import type { Regex } from './parse.ts'

const MOST_ALTERNATIVES = 64

/**
 * Folded texts of which one must occur in whatever the expression matches; undefined if there are none worth looking for.
 * The index looks for these, and the expression itself runs only where one was found.
 */
export function requiredLiterals(regex: Regex): readonly string[] | undefined {
  switch (regex.kind) {
    case 'capture':
      return requiredLiterals(regex.item)
    case 'repeat':
      return regex.min > 0 ? requiredLiterals(regex.item) : undefined
    case 'choice': {
      const all = regex.items.map(requiredLiterals)
      const literals = all.flatMap((some) => some ?? [])
      return all.includes(undefined) || literals.length > MOST_ALTERNATIVES ? undefined : literals
    }
    case 'sequence':
      return bestOf(sequenceLiterals(regex.items))
    case 'set':
    case 'edge':
    case 'look':
    case 'backreference':
      return undefined
  }
}

/** Runs of neighbouring literal characters, and what the parts between them require. */
function sequenceLiterals(items: readonly Regex[]): (readonly string[])[] {
  const found: (readonly string[])[] = []
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
    const inner = repeated === undefined ? requiredLiterals(item) : undefined
    if (inner !== undefined) found.push(inner)
  }
  found.push([run])
  return found.filter((literals) => literals.every((literal) => literal !== ''))
}

function bestOf(candidates: (readonly string[])[]): readonly string[] | undefined {
  const shortest = (literals: readonly string[]) => Math.min(...literals.map((literal) => literal.length))
  return candidates.reduce<readonly string[] | undefined>(
    (best, literals) => (best === undefined || shortest(literals) > shortest(best) ? literals : best),
    undefined,
  )
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
