import { expect, test } from 'vitest'
import { localPrincipal, mayDo, PERMISSIONS, ROLES, samePerson } from './principal.ts'

test('whoever writes rules cannot let them act, and whoever administers cannot act', () => {
  const acting = ['actions:approve', 'actions:operate', 'policy:grant'] as const
  for (const role of ['viewer', 'rule-author', 'admin', 'auditor'] as const)
    for (const permission of acting) expect(PERMISSIONS[role]).not.toContain(permission)
  expect(PERMISSIONS.responder).not.toContain('rules:activate')
  expect(ROLES.filter((role) => PERMISSIONS[role].includes('keys:manage'))).toEqual(['admin'])
  expect(ROLES.filter((role) => PERMISSIONS[role].includes('signals:fetch'))).toEqual(['receiver'])
  expect(PERMISSIONS.receiver).toEqual(['signals:fetch'])
})

test('a principal may do what one of its roles may', () => {
  expect(mayDo({ name: 'a', via: 'key', roles: ['viewer', 'admin'] }, 'keys:manage')).toBe(true)
  expect(mayDo({ name: 'a', via: 'key', roles: [] }, 'node:read')).toBe(false)
  expect(mayDo(localPrincipal('a'), 'actions:operate')).toBe(true)
})

test('one person is one, however they come in', () => {
  for (const [one, other] of [
    ['alice', 'local:alice'],
    ['alice', 'alice@siem-1'],
    ['Alice', 'local:\uff21lice'],
  ] as const)
    expect(samePerson(one, other)).toBe(true)
  expect(samePerson('alice', 'local:bob')).toBe(false)
})
