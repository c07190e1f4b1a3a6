import { userInfo } from 'node:os'
import { localPrincipal, mayDo, type Permission, type Principal } from '../../access/principal.ts'
import { CordonError } from '../../event/error.ts'
import { readSecret } from '../../responders/secret.ts'
import type { Config } from '../config.ts'
import { dataPaths } from '../data-folder.ts'
import { holderOfKey } from './keys.ts'

/** Where the keys of a configuration's nodes are. */
export function keysFileOf({ data, tokens }: Pick<Config, 'data' | 'tokens'>): string {
  return tokens ?? dataPaths(data).tokens
}

/**
 * Whoever gives an order on the command line: the holder of the key in the file or in `CORDON_KEY`, else the account that runs it.
 *
 * @throws CordonError `KEY_REFUSED`, `NOT_PERMITTED`; `SECRET_MISSING` where the file named has no key; `KEYS_INVALID`, `KEYS_MISSING`
 */
export function whoOrders(config: Pick<Config, 'data' | 'tokens'>, keyFile: string | undefined, permission: Permission): Principal {
  const key = keyFile === undefined ? process.env.CORDON_KEY : readSecret({ file: keyFile })
  const principal = key === undefined ? localPrincipal(accountName()) : holderOfKey(keysFileOf(config), key.trim(), Date.now())
  if (mayDo(principal, permission)) return principal
  throw new CordonError(
    'NOT_PERMITTED',
    `the role ${principal.roles.join(', ')} of ${principal.name} does not permit this: ${permission}`,
    {
      hint: 'docs/guides/people.md says which role may do what',
    },
  )
}

/** The account of the operating system that this process runs under. */
export function accountName(): string {
  try {
    return userInfo().username
  } catch {
    // In a container the user's number may have no name.
    return `uid-${process.getuid?.() ?? 'unknown'}`
  }
}
