import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJson } from '../event/json.ts'
import { readInnerJson } from './inner-json.ts'

describe('JSON in a text field', () => {
  it('is read as JSON is', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (object) => {
        expect(readInnerJson(JSON.stringify(object))).toEqual(parseJson(JSON.stringify(object)))
      }),
    )
  })

  it('is nothing where it is no object', () => {
    for (const value of [undefined, null, 7, '', 'text', '[1]', '"x"', true]) expect(readInnerJson(value)).toBeUndefined()
    expect(readInnerJson({ a: 1 })).toEqual({ a: 1 })
  })

  it('cut anywhere, gives every pair that was whole, and a beginning of the last string', () => {
    const entry = fc.tuple(
      fc.string({ minLength: 1 }),
      fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.array(fc.string()), fc.dictionary(fc.string(), fc.string())),
    )
    fc.assert(
      fc.property(
        fc.uniqueArray(entry, { minLength: 1, maxLength: 5, selector: ([name]) => name }),
        fc.nat(),
        fc.boolean(),
        (pairs, cutAt, spaced) => {
          const separator = spaced ? ', ' : ','
          const texts = pairs.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
          const whole = `{${texts.join(separator)}}`
          const cut = whole.slice(0, 1 + (cutAt % (whole.length - 1)))
          const read = readInnerJson(cut)!
          let end = 1
          for (const [at, [name, value]] of pairs.entries()) {
            end += texts[at]!.length
            // A number is whole only when something stands behind it.
            const isWhole = cut.length > end || (cut.length === end && typeof value !== 'number')
            if (isWhole) expect(Object.getOwnPropertyDescriptor(read, name)?.value).toEqual(value)
            else if (typeof value === 'string' && Object.hasOwn(read, name))
              expect(value.startsWith(String(read[name]).replace(/\ufffd?$/, ''))).toBe(true)
            end += separator.length
          }
        },
      ),
    )
  })

  it('recovers the path that a cut tool call names', () => {
    expect(readInnerJson('{"file_path":"/sensitive/pay.xlsx","content":"aaaa\\u00')).toEqual({
      file_path: '/sensitive/pay.xlsx',
      content: 'aaaa',
    })
    expect(readInnerJson('{"file_path": "/sensi')).toEqual({ file_path: '/sensi' })
    expect(readInnerJson('{"outer":{"file_path":"/a/b","x":[1,')).toEqual({ outer: { file_path: '/a/b' } })
    expect(Object.entries(readInnerJson('{"__proto__":{"a":1},"b":')!)).toEqual([['__proto__', { a: 1 }]])
  })

  it('takes time in proportion to the text, whatever it is', () => {
    for (const text of [
      `{${'"a":{'.repeat(50_000)}`,
      `{"a":${'['.repeat(100_000)}`,
      `{"a":"${'\\"'.repeat(100_000)}`,
      `{"a":[${'"",'.repeat(50_000)}`,
    ]) {
      const start = performance.now()
      readInnerJson(text)
      expect(performance.now() - start).toBeLessThan(500)
    }
  })
})
