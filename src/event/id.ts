import { hash } from 'node:crypto'

/**
 * The identity of a thing that is named by its parts: 32 hex digits (128 bits of SHA-256). Parts are length-prefixed,
 * so that no two lists of parts share an identity by concatenation.
 */
export function identity(...parts: readonly (string | number)[]): string {
  let text = ''
  for (const part of parts) {
    const item = String(part)
    text += `${item.length}:${item}`
  }
  return hash('sha256', text, 'hex').slice(0, 32)
}

/** SHA-256 of bytes or text: 64 hex digits. */
export function digest(data: string | Uint8Array): string {
  return hash('sha256', data, 'hex')
}
