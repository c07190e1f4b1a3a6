import { z } from 'zod'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const LONGEST = 36_500 * UNITS.d!

/** A length of time such as `500ms`, `30s`, `15m`, `24h` or `7d`, as milliseconds. */
export const duration = z
  .string()
  .regex(/^\d+(?:ms|[smhd])$/, 'expected a whole number and its unit, such as 500ms, 30s, 15m, 1h or 7d')
  .transform((text) => Number.parseInt(text, 10) * UNITS[text.replace(/^\d+/, '')]!)
  .refine((length) => length <= LONGEST, 'is longer than 36500d, a hundred years')
