import fc from 'fast-check'
import { build, type PlistValue } from 'plist'
import { describe, expect, it, vi } from 'vitest'
import { readPlist } from './plist.ts'

const wrap = (inside: string) =>
  `<?xml version="1.0"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "x.dtd">\n<plist version="1.0">${inside}</plist>`

describe('a property list', () => {
  it('reads as what it was written from', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'Z', ' ', '<', '&', '"', "'", 'é', '1', ']') })
    const value = fc.letrec<{ node: unknown }>((tie) => ({
      node: fc.oneof(
        { depthSize: 'small' },
        fc.boolean(),
        fc.integer(),
        text,
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom('a', 'b c', 'd'), tie('node'), { noNullPrototype: true }),
      ),
    })).node
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('UDID', 'x y', '<k>'), value, { noNullPrototype: true }), (dictionary) => {
        expect(readPlist(build(dictionary as PlistValue))).toEqual(dictionary)
      }),
    )
  })

  it('keeps dates and data as text, and every digit', () => {
    const inside =
      '<dict><key>d</key><date>2026-09-21T14:13:20Z</date><key>b</key><data>\n\tAAEC\n</data><key>n</key><integer>9223372036854775807</integer><key>r</key><real>1.5</real></dict>'
    expect(readPlist(wrap(inside))).toEqual({ d: '2026-09-21T14:13:20Z', b: 'AAEC', n: 9223372036854775807n, r: 1.5 })
  })

  it.each([
    '',
    'bplist00',
    '<plist>',
    wrap(''),
    wrap('<array/>'),
    wrap('<dict><key>a</key></dicx>'),
    '<!DOCTYPE plist [<!ENTITY a "b">]><plist><dict/></plist>',
    wrap('<array>'.repeat(20_000)),
  ])('is not %.40j, and nothing is printed about it', (text) => {
    const printed = [vi.spyOn(console, 'error'), vi.spyOn(console, 'warn'), vi.spyOn(console, 'log')]
    expect(readPlist(text)).toBeUndefined()
    for (const spy of printed) {
      expect(spy).not.toHaveBeenCalled()
      spy.mockRestore()
    }
  })

  it('is not read deeper than answers are', () => {
    const deep = readPlist(wrap(`<dict><key>a</key>${'<array>'.repeat(60)}${'</array>'.repeat(60)}</dict>`))
    expect(JSON.stringify(deep).replaceAll(/[^[]/g, '').length).toBe(31)
  })

  it('cannot change a prototype', () => {
    const read = readPlist(wrap('<dict><key>__proto__</key><dict><key>polluted</key><true/></dict></dict>'))
    expect(Object.keys(read!)).toEqual(['__proto__'])
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })
})
