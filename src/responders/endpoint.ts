import { z } from 'zod'
import type { HttpAccess } from './http.ts'

/** What the configuration of every responder says of the server that it calls. */
export const endpoint = {
  url: z.url({ protocol: /^https?$/ }).describe('address of the server'),
  allow_private: z
    .boolean()
    .default(false)
    .describe('the server stands in your own network: private addresses and plain http are accepted'),
}
export interface Endpoint {
  readonly url: string
  /** Where access tokens are issued, if that is another server. */
  readonly token_url?: string
  /** Absent where something else says whom one talks to, such as a host key. */
  readonly allow_private?: boolean
}

/** Refuses credentials in clear text over the internet. */
export const encrypted = (config: Endpoint) => config.allow_private === true || serversOf(config).every((url) => url.startsWith('https:'))
export const ENCRYPTED_HINT = {
  path: ['url'],
  message: 'must start with https://, or allow_private: true must say that the server stands in your own network',
}

/** The address of a path below the server's, which may end in a slash or not. */
export function below(config: Endpoint, path: string): string {
  return `${config.url.replace(/\/+$/, '')}/${path}`
}

/** What a responder with this configuration may reach: the hosts that it names. */
export function accessOf(config: Endpoint): HttpAccess {
  const hosts = serversOf(config).map((url) => new URL(url).host)
  return { allowedHosts: hosts, allowPrivate: config.allow_private ? hosts : [] }
}

function serversOf({ url, token_url }: Endpoint): readonly string[] {
  return token_url === undefined ? [url] : [url, token_url]
}
