/**
 * Case folding of all of Unicode without accent folding: two texts are equal ignoring case if they fold to the same text.
 * This is simple case folding (one character to one), so a fold never changes a text's length and offsets stay valid.
 * `toLowerCase` alone would not do: it makes two characters of `İ`, and its `Σ` depends on the end of the word.
 */
export function fold(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase()
  let folded = ''
  for (let start = 0; start < text.length; start += CHUNK) folded += foldUnits(text, start, Math.min(start + CHUNK, text.length))
  return SURROGATE.test(folded) ? folded.replace(PAIRS, foldCharacter) : folded
}

export const SURROGATE = /[\ud800-\udfff]/
const ASCII = /^[\0-\x7f]*$/
const PAIRS = /[\u{10000}-\u{10ffff}]/gu

/** Arguments of one call, which must fit on the stack. */
const CHUNK = 4096

function foldUnits(text: string, start: number, end: number): string {
  unitFolds ??= Uint16Array.from({ length: 0x10000 }, (_, unit) => foldCharacter(String.fromCharCode(unit)).charCodeAt(0))
  const units = new Uint16Array(end - start)
  for (let at = start; at < end; at++) units[at - start] = unitFolds[text.charCodeAt(at)]!
  return String.fromCharCode(...units)
}

/** What each UTF-16 unit folds to; halves of pairs, which only fold together, to themselves. Made when first needed. */
let unitFolds: Uint16Array | undefined

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
  return SURROGATE.test(folded) && Array.from(folded).some((character) => character.length === 2 && character.toUpperCase() !== character)
}
