import type { Door } from '../../sources/listener-guard.ts'

export type { Door }

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']

/**
 * The door of one listener.
 *
 * @param hosts by which it answers, besides loopback
 * @param holderOf whose a token is, if it is good for this listener
 */
export function openDoor<Holder>(
  hosts: readonly string[],
  holderOf: (token: string) => Holder | undefined,
  refused: Door['refused'],
): Door<Holder> {
  const names = new Set([...LOOPBACK, ...hosts].map((host) => host.toLowerCase()))
  return {
    refused,
    allowsHost: (header = '') => names.has(header.replace(/:\d*$/, '').toLowerCase()),
    admit(authorization = '') {
      const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
      return token === undefined ? undefined : holderOf(token)
    },
  }
}
