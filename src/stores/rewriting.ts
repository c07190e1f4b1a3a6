import type { Json } from '../event/json.ts'
import type { Effect } from '../response/effect.ts'
import { isLive } from '../response/transitions.ts'

/** What is done to everything that is written down of somebody. What does not name them comes back as it is. */
export interface Rewrite {
  readonly replaced: (text: string) => string
  readonly replacedIn: (value: Json) => Json
}

export interface Rewritten {
  /** What changed, or would, and how often: rows by table, or documents by kind. */
  readonly changed: ReadonlyMap<string, number>
  /** Actions that name somebody and are in force: left as they are. */
  readonly inForce: number
}

/** It can be undone, or may still be sent: without its target nobody could do either. */
export function isInForce(effect: Effect): boolean {
  return isLive(effect) && (effect.reversible || effect.state !== 'CONFIRMED')
}
