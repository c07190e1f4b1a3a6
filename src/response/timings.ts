import type { Effect } from './effect.ts'

/**
 * The times that a change of an effect settles, in milliseconds from the event: until the vendor accepted, and until the effect
 * was read back. They are reported apart, because a vendor's 2xx contains nothing.
 */
export function timings(before: Effect | undefined, effect: Effect): { readonly accepted?: number; readonly confirmed?: number } {
  const { event, accepted, confirmed } = effect.times
  return {
    ...(accepted !== undefined && before?.times.accepted === undefined ? { accepted: accepted - event } : {}),
    ...(confirmed !== undefined && before?.times.confirmed === undefined ? { confirmed: confirmed - event } : {}),
  }
}
