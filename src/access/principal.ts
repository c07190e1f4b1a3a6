/** What people and their programs may be asked to do (docs/design.md section 6). A key has one role. */
export const ROLES = ['viewer', 'analyst', 'rule-author', 'responder', 'admin', 'auditor', 'receiver'] as const
export type Role = (typeof ROLES)[number]

/** What a route of the API or a command asks of whoever calls it. */
export type Permission =
  /** Health, metrics and the description of the API. */
  | 'node:read'
  | 'alerts:read'
  | 'incidents:read'
  | 'actions:read'
  /** Say that one looks after an incident. To resolve one lets go of its actions: that is `actions:operate`. */
  | 'incidents:acknowledge'
  /** Approve and reject; which effects, by whom and how many, is the policy's: docs/reference/policy.md. */
  | 'actions:approve'
  /** Undo, and let go what a limit or the kill switch holds back. */
  | 'actions:operate'
  /** The kill switch. */
  | 'actions:stop'
  | 'policy:grant'
  | 'rules:activate'
  | 'keys:manage'
  | 'privacy:erase'
  /** Fetch the security events of one's own streams, and say that they arrived. */
  | 'signals:fetch'

const READING = ['node:read', 'alerts:read', 'incidents:read', 'actions:read'] as const

/**
 * Which role may do what: the one table. Whoever writes rules can neither grant nor approve; whoever administers keys and nodes
 * can stop actions and start none.
 */
export const PERMISSIONS: Readonly<Record<Role, readonly Permission[]>> = {
  viewer: READING,
  analyst: [...READING, 'incidents:acknowledge', 'actions:approve'],
  'rule-author': [...READING, 'rules:activate'],
  responder: [...READING, 'incidents:acknowledge', 'actions:approve', 'actions:operate', 'actions:stop', 'policy:grant'],
  admin: [...READING, 'actions:stop', 'keys:manage', 'privacy:erase'],
  auditor: READING,
  receiver: ['signals:fetch'],
}

/** Someone who acts: by an API key, by a link that was sent to one person, or by an account of the machine that has the data folder. */
export interface Principal {
  /** As records have it: `alice`, or `local:alice` for an account. */
  readonly name: string
  readonly via: 'key' | 'link' | 'local'
  readonly roles: readonly Role[]
}

/** What names a person in keys and in the policy: no `@` and no `:`, which tell accounts apart. */
export const PERSON_NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/i

export function mayDo({ roles }: Principal, permission: Permission): boolean {
  return roles.some((role) => PERMISSIONS[role].includes(permission))
}

/** The account of the operating system that runs a command. Whoever has the data folder could write to it anyway, so it has every role. */
export function localPrincipal(account: string): Principal {
  return { name: `local:${account}`, via: 'local', roles: ROLES }
}

/**
 * Whether two records name one person: `alice` by key or link, `local:alice` and `alice@host` by account. Names that merely look alike
 * count as one, because two pairs of eyes must be two people's.
 */
export function samePerson(one: string, other: string): boolean {
  return personOf(one) === personOf(other)
}

function personOf(name: string): string {
  return name
    .replace(/^local:/, '')
    .replace(/@.*$/, '')
    .normalize('NFKC')
    .toLowerCase()
}
