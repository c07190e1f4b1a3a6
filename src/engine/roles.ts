import { CordonError } from '../event/error.ts'

/** What a node does (docs/design.md section 1, in the order of the flow). One process has all of them, or a cluster shares them out. */
export const ROLES = ['ingest', 'match', 'correlate', 'respond', 'api'] as const
export type Role = (typeof ROLES)[number]

/** What the nodes of a cluster share, if it is not embedded in one of them. */
interface Shared {
  readonly streams: { readonly kind: string }
  readonly store: { readonly kind: string }
}

/**
 * The roles of a node of this configuration.
 *
 * @param wanted names, separated by commas
 * @throws CordonError `ROLE_UNKNOWN`; `ROLES_EMBEDDED` where what the others would share lives in this process's own files
 */
export function rolesOf(wanted: string, { streams, store }: Shared): ReadonlySet<Role> {
  const names = wanted.split(',').map((name) => name.trim())
  const unknown = names.find((name) => !ROLES.some((role) => role === name))
  if (unknown !== undefined)
    throw new CordonError('ROLE_UNKNOWN', `there is no role "${unknown}"`, { hint: `roles are ${ROLES.join(', ')}, separated by commas` })
  const roles = new Set(ROLES.filter((role) => names.includes(role)))
  if (streams.kind === 'embedded' && roles.size < ROLES.length) {
    throw new CordonError('ROLES_EMBEDDED', 'embedded logs are this process’s own: it has to take all roles', {
      hint: 'leave out --role, or set streams: { kind: kafka, … } to share the roles out',
    })
  }
  if (store.kind === 'embedded' && roles.has('respond') !== roles.has('api')) {
    throw new CordonError('ROLES_EMBEDDED', 'the embedded store is this process’s own: respond and api have to be together', {
      hint: 'give the node both roles, or set store: { kind: elasticsearch, … } to share them out',
    })
  }
  return roles
}
