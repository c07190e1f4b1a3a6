/** Digits behind the point that count; what stands beyond them is cut off. */
const DECIMALS = 9
const UNIT = 10n ** BigInt(DECIMALS)
/** What nearly every count of bytes looks like. */
const SMALL = /^\d{1,15}$/
/** More digits than any volume has, so that nobody can make sums costly. */
const NUMBER = /^(\d{1,40})(?:\.(\d{1,40}))?(?:e\+?(\d{1,2}))?$/i

/**
 * A number as it stands in a field, in billionths: whole, so that a sum of many is exact whatever their order, and integers above 2^53
 * stay what they are. Undefined for everything else, also for what is below zero (docs/decisions/0015).
 */
export function parseAmount(text: string): bigint | undefined {
  if (SMALL.test(text)) return BigInt(text) * UNIT
  const parts = NUMBER.exec(text.trim())
  if (parts === null) return undefined
  const [, whole = '', fraction = '', exponent = '0'] = parts
  const digits = BigInt(whole + fraction)
  const shift = DECIMALS + Number(exponent) - fraction.length
  return shift >= 0 ? digits * 10n ** BigInt(shift) : digits / 10n ** BigInt(-shift)
}

/** The shortest text that {@link parseAmount} reads as the same. */
export function formatAmount(amount: bigint): string {
  const digits = amount.toString().padStart(DECIMALS + 1, '0')
  const fraction = digits.slice(-DECIMALS).replace(/0+$/, '')
  return digits.slice(0, -DECIMALS) + (fraction === '' ? '' : `.${fraction}`)
}
