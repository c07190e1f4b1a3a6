/** What a text must have for a detector to find anything in it. */
export interface Sign {
  readonly literal: string
  /** It stands in this spelling, and not within a word; else it may stand anywhere, in capitals or not. */
  readonly exact?: true
}

const FIRST_LOWER = 0x61
const LAST_LOWER = 0x7a
const CASE = 0x20
const CODES = 128

/**
 * Tells in one pass over a text which of up to 31 lists have a sign in it (Aho and Corasick, 1975). Texts are many and signs are rare, so
 * this is what most texts cost.
 */
export class Signs {
  /** Code → class; 0 for what no sign has. */
  private readonly classes = new Uint8Array(CODES)
  private readonly classCount: number
  /** State and class → state. */
  private readonly next: Uint16Array
  /** State → the signs that end there. */
  private readonly ends: readonly (readonly { readonly sign: Sign; readonly flag: number }[])[]
  private readonly isEnd: Uint8Array

  /** @param lists ASCII literals; the list at position n has the flag `1 << n` */
  constructor(lists: readonly (readonly Sign[])[]) {
    const signs = lists.flatMap((list, at) => list.map((sign) => ({ sign, word: sign.literal.toLowerCase(), flag: 1 << at })))
    let classCount = 1
    for (const { word } of signs) {
      for (const character of word) {
        const code = character.charCodeAt(0)
        if (this.classes[code] === 0) this.classes[code] = classCount++
      }
    }
    for (let code = FIRST_LOWER; code <= LAST_LOWER; code++) this.classes[code - CASE] = this.classes[code]!
    this.classCount = classCount

    const size = 1 + signs.reduce((sum, { word }) => sum + word.length, 0)
    const next = new Uint16Array(size * classCount)
    const ends: { sign: Sign; flag: number }[][] = [[]]
    for (const { sign, word, flag } of signs) {
      let state = 0
      for (const character of word) {
        const step = state * classCount + this.classes[character.charCodeAt(0)]!
        if (next[step] === 0) next[step] = ends.push([]) - 1
        state = next[step]!
      }
      ends[state]!.push({ sign, flag })
    }
    link(next, ends, classCount)
    this.next = next
    this.ends = ends
    this.isEnd = Uint8Array.from(ends, ({ length }) => Math.min(length, 1))
  }

  /** The flags of the lists that have a sign in the text. */
  in(text: string): number {
    const { classes, classCount, next, isEnd } = this
    let flags = 0
    let state = 0
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at)
      state = code < CODES ? next[state * classCount + classes[code]!]! : 0
      if (isEnd[state] === 1) flags |= this.flagsAt(state, text, at + 1)
    }
    return flags
  }

  private flagsAt(state: number, text: string, end: number): number {
    let flags = 0
    for (const { sign, flag } of this.ends[state]!) {
      if (sign.exact !== true || standsAlone(sign.literal, text, end - sign.literal.length)) flags |= flag
    }
    return flags
  }
}

function standsAlone(literal: string, text: string, start: number): boolean {
  return text.startsWith(literal, start) && !/[A-Za-z0-9]/.test(text[start - 1] ?? '')
}

/** Where a text leaves the trie, it goes on where the longest ending of what it has read begins a sign. Breadth first. */
function link(next: Uint16Array, ends: { sign: Sign; flag: number }[][], classCount: number): void {
  const fallbacks = new Uint16Array(ends.length)
  const queue = Array.from(next.subarray(0, classCount)).filter((state) => state !== 0)
  for (const state of queue) {
    const fallback = fallbacks[state]!
    ends[state]!.push(...ends[fallback]!)
    for (let of = 0; of < classCount; of++) {
      const step = state * classCount + of
      const there = next[fallback * classCount + of]!
      if (next[step] === 0) next[step] = there
      else {
        fallbacks[next[step]!] = there
        queue.push(next[step]!)
      }
    }
  }
}
