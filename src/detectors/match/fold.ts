/**
 * Case folding of all of Unicode without accent folding: two texts are equal ignoring case if they fold to the same text.
 * This is simple case folding (one character to one), so a fold never changes a text's length and offsets stay valid.
 * `toLowerCase` alone would not do: it makes two characters of `İ`, and its `Σ` depends on the end of the word.
 */
export function fold(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase()
  let folded = ''
  for (const character of text) folded += foldCharacter(character)
  return folded
}

const ASCII = /^[\0-\x7f]*$/

function foldCharacter(character: string): string {
  // The dotless ı has no partner: its upper case, I, belongs to i.
  if (character === 'ı') return character
  const upper = character.toUpperCase()
  const lower = (isOneCharacter(upper) ? upper : character).toLowerCase()
  return lower.length === character.length && isOneCharacter(lower) ? lower : character
}

const isOneCharacter = (text: string) => text.length === 1 || (text.length === 2 && text.codePointAt(0)! > 0xffff)

let variants: ReadonlyMap<number, readonly number[]> | undefined

/** The UTF-16 units that fold to `unit`, itself among them. For characters within the basic plane, where a unit is a character. */
export function unitsFoldingTo(unit: number): readonly number[] {
  variants ??= unitVariants()
  return variants.get(unit) ?? [unit]
}

function unitVariants(): Map<number, readonly number[]> {
  const byFolded = new Map<number, number[]>()
  for (let unit = 0; unit < 0x10000; unit++) {
    const folded = foldCharacter(String.fromCharCode(unit)).charCodeAt(0)
    if (folded === unit) continue
    const units = byFolded.get(folded)
    if (units === undefined) byFolded.set(folded, [folded, unit])
    else units.push(unit)
  }
  return byFolded
}

/** Whether a folded text has characters outside the basic plane whose case folds: two units that must be folded together. */
export function hasWideCase(folded: string): boolean {
  if (!SURROGATE.test(folded)) return false
  for (const character of folded) if (character.length === 2 && character.toUpperCase() !== character) return true
  return false
}

export const SURROGATE = /[\ud800-\udfff]/
