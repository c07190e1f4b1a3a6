/**
 * Whether `text` matches a pattern of `*` (any run of characters, also none) and `?` (exactly one), whole and case-sensitive, as Sigma
 * strings do. Goes back only to the last `*`, so no pattern takes more than |pattern| × |text| steps.
 */
export function matchesWildcard(pattern: string, text: string): boolean {
  let at = 0
  let inText = 0
  let star = -1
  let resume = 0
  while (inText < text.length) {
    if (pattern[at] === '*') {
      star = at++
      resume = inText
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[inText])) {
      at++
      inText++
    } else if (star >= 0) {
      at = star + 1
      inText = ++resume
    } else return false
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}
