import { expect, test } from 'vitest'
import { openDoor } from './door.ts'
import { refusals } from './refusals.ts'

const doorOf = (hosts: string[] = []) =>
  openDoor(
    hosts,
    (token) => (token === 'good' ? { name: 'ana' } : undefined),
    () => {},
  )

test('a listener takes a bearer token and nothing else', () => {
  expect(doorOf().admit('Bearer good')).toEqual({ name: 'ana' })
  expect(doorOf().admit('bearer  good')).toEqual({ name: 'ana' })
  for (const header of [undefined, '', 'Bearer', 'Basic good', 'good', 'Bearer good x', 'Bearer bad'])
    expect(doorOf().admit(header)).toBeUndefined()
})

test('a listener answers to loopback and its configured names, with any port', () => {
  const { allowsHost } = doorOf(['Cordon.corp.example'])
  for (const host of ['localhost', 'LOCALHOST:4319', '127.0.0.1:1', '[::1]:4319', 'cordon.corp.example:80'])
    expect(allowsHost(host)).toBe(true)
  for (const host of [undefined, '', 'evil.example', 'localhost.evil.example', '::1', 'cordon.corp.example.'])
    expect(allowsHost(host)).toBe(false)
})

test('refusals are said once a minute for each kind, with their number', () => {
  const said: string[] = []
  let now = 0
  const refused = refusals(
    'api',
    (text) => said.push(text),
    () => now,
  )
  for (let count = 0; count < 1_000; count++) refused('token')
  refused('permission', 'ana')
  now = 60_000
  refused('token')
  refused('permission', 'ana')
  expect(said).toEqual([
    'api: refused (token)',
    'api: refused (permission, ana)',
    'api: refused (token), and 999 more since it was last said',
    'api: refused (permission, ana)',
  ])
})
