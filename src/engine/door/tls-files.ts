import { readFileSync } from 'node:fs'
import { CordonError, messageOf } from '../../event/error.ts'
import type { TlsConfig } from '../config.ts'

/** What a client needs for TLS, as PEM texts. */
export interface TlsTexts {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly serverName: string | undefined
}

/**
 * Reads the files of a `tls` setting.
 *
 * @param setting where it stands in the configuration, for the hint
 * @throws CordonError `TLS_FILE`
 */
export function tlsOf({ ca, cert, key, server_name: serverName }: TlsConfig, setting: string): TlsTexts {
  const read = (path: string | undefined) => (path === undefined ? undefined : pem(path, setting))
  return { ca: read(ca), cert: read(cert), key: read(key), serverName }
}

function pem(path: string, setting: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new CordonError('TLS_FILE', `cannot read ${path}: ${messageOf(error)}`, { hint: `check the paths under ${setting}` })
  }
}
