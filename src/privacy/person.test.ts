import { describe, expect, test } from 'vitest'
import { Person } from './person.ts'

const person = new Person(['ana', 'ana@corp.example', 'Ana Lopez'], Buffer.alloc(32, 1))
const { pseudonym } = person

describe('a person', () => {
  test.each([
    ['ana', pseudonym],
    ['user:ana', `user:${pseudonym}`],
    ['CORP\\ANA logged on', `CORP\\${pseudonym} logged on`],
    ['mail to Ana@corp.example.', `mail to ${pseudonym}.`],
    ['Ana Lopez (ana) in /home/ana/x', `${pseudonym} (${pseudonym}) in /home/${pseudonym}/x`],
  ])('%j is replaced', (text, replaced) => {
    expect(person.replaced(text)).toBe(replaced)
    expect(person.replaced(replaced)).toBe(replaced)
  })

  test.each(['banana', 'ana2', 'ana-maria', 'ana.b@corp.example', 'juana@corp.example', 'ana@other.example'])(
    '%j is somebody else',
    (text) => {
      expect(person.replaced(text)).toBe(text)
    },
  )

  test('is replaced in names and values, and what names nobody is the same object', () => {
    const others = { b: [1, null, 'bo'] }
    expect(person.replacedIn({ ana: ['ana'], others })).toEqual({ [pseudonym]: [pseudonym], others })
    expect(person.replacedIn(others)).toBe(others)
  })

  test('has another pseudonym under another salt', () => {
    expect(new Person(['ana'], Buffer.alloc(32, 2)).pseudonym).not.toBe(pseudonym)
    expect(new Person(['ANA'], Buffer.alloc(32, 1)).pseudonym).toBe(pseudonym)
  })
})
