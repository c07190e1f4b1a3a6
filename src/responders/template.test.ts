import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type CordonError, messageOf } from '../event/error.ts'
import type { Json } from '../event/json.ts'
import { compileTemplate, fillTemplate } from './template.ts'

test('places values, by flat names', () => {
  const template = compileTemplate('{{rule.title}} on {{ device.name }}!')
  expect(template.names).toEqual(['rule.title', 'device.name'])
  expect(template.render({ 'rule.title': 'A & <b>', 'device.name': '{{device.id}}' })).toBe('A & <b> on {{device.id}}!')
})

test('everything but {{name}} is refused when it is compiled', () => {
  for (const text of ['{{{a}}}', '{{&a}}', '{{#a}}x{{/a}}', '{{^a}}x{{/a}}', '{{>a}}', '{{=<% %>=}}', '{{a', '{{!a}}', '{{/a}}', '{{}}']) {
    expect(() => compileTemplate(text), text).toThrow(expect.objectContaining({ code: 'TEMPLATE_INVALID' }))
  }
})

test('a name without a value is an error that says which there are; inherited names are none', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'missing', 'a.b.c']) {
    expect(() => compileTemplate(`{{${name}}}`).render({ b: '1', a: '2' }), name).toThrow(
      expect.objectContaining({ code: 'TEMPLATE_NAME', hint: 'there are: a, b' }),
    )
  }
})

test('whatever the values hold, a filled structure keeps its shape and comes back from JSON as it was', () => {
  const structure: Json = { text: '{{a}} and {{b}}', blocks: [{ type: 'section', n: 3, text: '{{b}}' }, null, true] }
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.string({ maxLength: 60 }), (a, b) => {
      const filled = fillTemplate(structure, { a, b })
      expect(JSON.parse(JSON.stringify(filled))).toEqual({
        text: `${a} and ${b}`,
        blocks: [{ type: 'section', n: 3, text: b }, null, true],
      })
    }),
    { numRuns: 1_000 },
  )
  for (const value of ['","x":"1', '"}', '</script>', '\r\nSet-Cookie: a=b', '{{a}}', '\u2028', '__proto__']) {
    expect(fillTemplate(structure, { a: value, b: value })).toMatchObject({ text: `${value} and ${value}` })
  }
})

test('a key named __proto__ stays a key', () => {
  const filled = fillTemplate(JSON.parse('{"__proto__":{"x":"{{a}}"}}'), { a: '1' }) as Record<string, unknown>
  expect(JSON.stringify(filled)).toBe('{"__proto__":{"x":"1"}}')
  expect(Object.getPrototypeOf(filled)).toBe(Object.prototype)
})

test('compiling never throws anything but its own error', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('{', '}', 'a', ' ', '#', '/', '&', '>', '=', '!', '\n') }), (text) => {
      try {
        compileTemplate(text)
      } catch (error) {
        expect((error as CordonError).code, messageOf(error)).toBe('TEMPLATE_INVALID')
      }
    }),
    { numRuns: 1_000 },
  )
})
