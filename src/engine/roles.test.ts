import { expect, test } from 'vitest'
import { ROLES, rolesOf } from './roles.ts'

const cluster = { streams: { kind: 'kafka' }, store: { kind: 'elasticsearch' } }

test('roles are taken in the order of the flow, each once', () => {
  expect([...rolesOf('respond, ingest,ingest', cluster)]).toEqual(['ingest', 'respond'])
  expect([...rolesOf(ROLES.join(), { streams: { kind: 'embedded' }, store: { kind: 'embedded' } })]).toEqual([...ROLES])
})

test('a role that does not exist is named', () => {
  expect(() => rolesOf('ingest,detect', cluster)).toThrow('"detect"')
  expect(() => rolesOf('', cluster)).toThrow(expect.objectContaining({ code: 'ROLE_UNKNOWN' }))
})

test.each([
  ['embedded logs', 'match,correlate', { ...cluster, streams: { kind: 'embedded' } }],
  ['an embedded store', 'respond', { ...cluster, store: { kind: 'embedded' } }],
  ['an embedded store', 'match,api', { ...cluster, store: { kind: 'embedded' } }],
])('%s cannot be shared by several processes: %s', (_, wanted, shared) => {
  expect(() => rolesOf(wanted, shared)).toThrow(expect.objectContaining({ code: 'ROLES_EMBEDDED' }))
})

test('on Kafka with an embedded store the others may be shared out', () => {
  const shared = { ...cluster, store: { kind: 'embedded' } }
  expect([...rolesOf('correlate', shared)]).toEqual(['correlate'])
  expect([...rolesOf('respond,api', shared)]).toEqual(['respond', 'api'])
})
