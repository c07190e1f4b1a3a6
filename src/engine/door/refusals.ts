/** Milliseconds for which further refusals of a kind are only counted. */
const QUIET = 60_000

/**
 * Says that requests were refused: the first of a kind at once, then once a minute how many more there were, so that whoever knocks often
 * does not fill the log. Of the key that was given nothing is said.
 *
 * @param say told the text for the log
 */
export function refusals(listener: string, say: (text: string) => void, now: () => number = Date.now) {
  const kinds = new Map<string, { said: number; since: number }>()
  /** @param who the holder of a key that is good, where there is one */
  return (reason: string, who?: string): void => {
    const kind = `${listener}: refused (${reason}${who === undefined ? '' : `, ${who}`})`
    const known = kinds.get(kind)
    if (known !== undefined && now() - known.said < QUIET) known.since++
    else {
      say(known === undefined || known.since === 0 ? kind : `${kind}, and ${known.since} more since it was last said`)
      kinds.set(kind, { said: now(), since: 0 })
    }
  }
}
