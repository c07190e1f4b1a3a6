import type { Signal } from '../signal.ts'
import { byEventTime } from './order.ts'

/** One signal in a group's state, with what has been concluded of it. */
export interface Entry {
  /** Of an anchor of a correlation below: the newest that was said of it. */
  signal: Signal
  /**
   * False where another copy of the same event was ingested in the G before it, or where an anchor was retracted: it counts for
   * nothing, but is remembered.
   */
  counted: boolean
  /** The condition holds at this signal. */
  holds: boolean
  /** The condition holds here and not at the signal before: this signal is an alert. */
  anchor: boolean
}

/** What a change concluded anew; each list in the order of the group. */
export interface Change {
  /** Entries whose conclusion is another now. */
  readonly changed: readonly Entry[]
  /** Anchors that it made, unmade, or left as they were (though their evidence may be another). */
  readonly opened: readonly Entry[]
  readonly withdrawn: readonly Entry[]
  readonly kept: readonly Entry[]
}

/** What taking a record in did. A copy that counts for nothing changes nothing, but is remembered. */
export interface Insertion extends Change {
  readonly entry: Entry
  /** The signal that is held now, and the one that it takes the place of; both absent where one was only marked. */
  readonly taken: Signal | undefined
  readonly released: Signal | undefined
  /** What no longer counts: a later copy of the event, anchors that were retracted or whose place this one takes. */
  readonly displaced: readonly Entry[]
  /** Anchors that now stand for their alert in place of another copy of their event. */
  readonly moved: readonly { readonly from: Entry; readonly to: Entry }[]
}

/** Two changes in a row as one: what the first opened and the second withdrew never was. */
export function merge(changes: readonly Change[]): Change {
  const before = new Map<Entry, boolean>()
  const after = new Map<Entry, boolean>()
  for (const { opened, withdrawn, kept } of changes) {
    for (const [entries, was, is] of [
      [opened, false, true],
      [withdrawn, true, false],
      [kept, true, true],
    ] as const) {
      for (const entry of entries) {
        if (!before.has(entry)) before.set(entry, was)
        after.set(entry, is)
      }
    }
  }
  const those = (was: boolean, is: boolean) =>
    [...after.keys()]
      .filter((entry) => before.get(entry) === was && after.get(entry) === is)
      .sort((a, b) => byEventTime(a.signal, b.signal))
  return {
    changed: [...new Set(changes.flatMap(({ changed }) => changed))],
    opened: those(false, true),
    withdrawn: those(true, false),
    kept: those(true, true),
  }
}
