/** Seconds by unit, as Sigma correlations have them: a month and a year are the Gregorian calendar's mean. */
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, M: 2_629_746, y: 31_556_952 }

/** `15m` in milliseconds; undefined if it is no whole number with one of the units s m h d w M y. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})([smhdwMy])$/.exec(text.trim())
  return match === null ? undefined : Number(match[1]) * SECONDS[match[2]!]! * 1000
}
