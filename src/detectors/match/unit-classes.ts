import { unitsFoldingTo } from './fold.ts'

/**
 * Gives every UTF-16 unit that occurs in some folded texts, in any case, a small number, rising with the unit; 0 is every other unit. So a value can be
 * compared with the texts ignoring case without being folded. Pages of 256 units that hold none share one.
 */
export class UnitClasses {
  readonly count: number
  /** Per high byte of a unit, where its page starts in `cells`. */
  readonly pages = new Int32Array(256)
  readonly cells: Uint16Array

  constructor(foldedTexts: readonly string[]) {
    const units = new Set<number>()
    for (const text of foldedTexts) for (let at = 0; at < text.length; at++) units.add(text.charCodeAt(at))
    const classes = new Map([...units].sort((a, b) => a - b).map((unit, index) => [unit, index + 1]))
    this.count = classes.size + 1
    const byUnit = [...classes].flatMap(([folded, number]) => unitsFoldingTo(folded).map((unit) => [unit, number] as const))
    let size = 256
    for (const [unit] of byUnit) {
      if (this.pages[unit >> 8] !== 0) continue
      this.pages[unit >> 8] = size
      size += 256
    }
    this.cells = new Uint16Array(size)
    for (const [unit, number] of byUnit) this.cells[this.pages[unit >> 8]! + (unit & 0xff)] = number
  }

  of(unit: number): number {
    return this.cells[this.pages[unit >> 8]! + (unit & 0xff)]!
  }
}
