import type { Door } from '../../sources/listener-guard.ts'
import type { TokenScope, Tokens } from './tokens.ts'

export type { Door }

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']

/** The door of one listener: loopback and the configured host names, and the tokens of one scope. */
export function openDoor(scope: TokenScope, hosts: readonly string[], tokens: Tokens, refused: Door['refused']): Door {
  const names = new Set([...LOOPBACK, ...hosts].map((host) => host.toLowerCase()))
  return {
    refused,
    allowsHost: (header = '') => names.has(header.replace(/:\d*$/, '').toLowerCase()),
    admit(authorization = '') {
      const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
      return token === undefined ? undefined : tokens.authenticate(scope, token)
    },
  }
}
