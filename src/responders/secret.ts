import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { rememberSecret, withoutSecrets } from '../event/secrets.ts'

/** A credential by reference: configuration files hold where a secret is, never the secret. */
export const secretRef = z.union([
  z.strictObject({ env: z.string().regex(/^\w+$/) }).describe('name of an environment variable'),
  z.strictObject({ file: z.string().min(1) }).describe('path of a file; the working folder is the base of a relative one'),
])
export type SecretRef = z.infer<typeof secretRef>

/**
 * Reads a secret, which this process then says nowhere. Spaces and line breaks around it are dropped, because every editor ends a file with one.
 *
 * @throws CordonError `SECRET_MISSING` naming the variable or file, never what is in it
 */
export function readSecret(ref: SecretRef): string {
  const place = 'env' in ref ? `environment variable ${ref.env}` : `file ${ref.file}`
  const secret = ('env' in ref ? process.env[ref.env] : readIfPresent(ref.file))?.trim()
  if (secret === undefined || secret === '') {
    throw new CordonError('SECRET_MISSING', `no secret in ${place}`, {
      hint: 'env' in ref ? `set ${ref.env} where Cordon is started` : 'write the secret to that file, readable by Cordon alone',
    })
  }
  return rememberSecret(secret)
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** The beginning of what a vendor wrote, for an error: in one line, and without our secrets, for some answers repeat what they were sent. */
export function excerpt(text: string, secrets: readonly string[]): string {
  return withoutSecrets(text, secrets).replaceAll(/\s+/g, ' ').slice(0, 200)
}
