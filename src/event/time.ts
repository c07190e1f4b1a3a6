import type { Json } from './json.ts'

const ISO = /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9})\d*)?)?\s*(Z|z|[+-]\d{2}:?\d{2})?)?$/
const EPOCH = /^-?\d{1,20}(\.\d+)?$/

/**
 * The time that a record states, in milliseconds since the epoch with the source's fraction (a double holds about 0.2 µs today).
 * Takes RFC 3339 with any fraction, `+0000` offsets, `YYYY-MM-DD HH:MM:SS` (UTC where no offset is given), and epoch seconds,
 * milliseconds, microseconds or nanoseconds, told apart by size. Anything else gives null; so does 0, which OTLP uses for "unset".
 */
export function parseTime(value: Json | undefined): number | null {
  if (typeof value === 'number' || typeof value === 'bigint') return fromEpoch(String(value))
  if (typeof value !== 'string') return null
  const text = value.trim()
  if (EPOCH.test(text)) return fromEpoch(text)
  const iso = ISO.exec(text)
  if (iso) return fromIso(iso)
  const other = /[A-Za-z]{3}/.test(text) ? Date.parse(/(?:Z|GMT|UTC|[+-]\d{4})$/.test(text) ? text : `${text} UTC`) : Number.NaN
  return Number.isNaN(other) ? null : other
}

/** RFC 3339 in UTC, with as many digits as it takes to read back the same time: milliseconds, microseconds or nanoseconds. */
export function formatTime(time: number): string {
  const whole = Math.floor(time)
  const iso = new Date(whole).toISOString()
  if (whole === time) return iso
  const withDigits = (digits: number) => {
    const fraction = Math.min(Math.round((time - whole) * 10 ** digits), 10 ** digits - 1)
    return `${iso.slice(0, -1)}${String(fraction).padStart(digits, '0')}Z`
  }
  const micros = withDigits(3)
  return parseTime(micros) === time ? micros : withDigits(6)
}

function fromIso(parts: RegExpExecArray): number | null {
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = parts
  const seconds = Math.min(Number(second), 59.999) // a leap second is the last instant of its minute
  const base = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Math.floor(seconds))
  if (Number(month) < 1 || Number(month) > 12 || Number(day) < 1 || Number(day) > 31 || Number(hour) > 24 || Number(minute) > 59)
    return null
  const millis = fraction === '' ? 0 : Number(`0.${fraction}`) * 1000
  if (zone === 'Z' || zone === 'z') return base + millis
  const offset = (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))) * 60_000
  return base + millis - (zone[0] === '-' ? -offset : offset)
}

/** Seconds up to the year 5138, then milliseconds, microseconds, nanoseconds: each range ends where the next begins. */
function fromEpoch(text: string): number | null {
  const value = Number(text)
  const size = Math.abs(value)
  if (!Number.isFinite(value) || value === 0) return null
  if (size < 1e11) return Math.round(value * 1e6) / 1e3
  if (size < 1e14) return value
  if (size < 1e17) return value / 1e3
  if (size >= 1e20) return null
  const nanos = BigInt(text.split('.')[0]!)
  return Number(nanos / 1_000_000n) + Number(nanos % 1_000_000n) / 1e6
}
