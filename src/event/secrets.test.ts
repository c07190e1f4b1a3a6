import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rememberAddress, rememberIssued, rememberSecret, valueWithoutSecrets, withoutSecrets } from './secrets.ts'

const SECRET = rememberSecret('p4Lm0q8Zr2Vt6Xw9+/=&%"\\~')
const CORE = 'p4Lm0q8Zr2Vt6Xw9'

describe('a secret that was read', () => {
  const encodings: Readonly<Record<string, (text: string) => string>> = {
    plain: (text) => text,
    URL: encodeURIComponent,
    form: (text) => String(new URLSearchParams({ text })),
    JSON: (text) => JSON.stringify({ text }),
    'JSON in JSON': (text) => JSON.stringify({ text: JSON.stringify({ text }) }),
    HTML: (text) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;'),
    base64: (text) => Buffer.from(text).toString('base64'),
    base64url: (text) => Buffer.from(text).toString('base64url'),
    'form in base64': (text) => Buffer.from(String(new URLSearchParams({ client: 'c', text }))).toString('base64'),
  }
  const around = fc.string({ maxLength: 40 })

  test.each(Object.entries(encodings))('is masked as %s, wherever it stands in what was encoded', (_, encode) => {
    fc.assert(
      fc.property(around, around, (before, after) => {
        const clean = withoutSecrets(`it was ${encode(`${before}${SECRET}${after}`.toWellFormed())} that came`)
        expect(clean).toContain('[secret]')
        expect(clean).not.toContain(CORE)
        for (const shift of [0, 1, 2]) {
          const encoded = Buffer.from(`${'-'.repeat(shift)}${CORE}`)
            .toString('base64')
            .slice(shift === 0 ? 0 : 4, -4)
          expect(clean).not.toContain(encoded)
        }
      }),
    )
  })

  test('takes its word with it, and leaves the others', () => {
    expect(withoutSecrets(`401 "Authorization: Bearer ${CORE}xyz": who are you?`)).toBe(
      '401 "Authorization: Bearer [secret]": who are you?',
    )
    expect(withoutSecrets(`grant=a&client_secret=${encodeURIComponent(SECRET)}&b=c`)).toBe('grant=a&client_secret=[secret]&b=c')
    expect(withoutSecrets(`${CORE} and ${CORE}`)).toBe('[secret] and [secret]')
  })

  test('is masked where only its beginning was repeated', () => {
    const long = rememberSecret('Kf83hdPq01mZxVb7Yt55Lk2WnR9sQeU4')
    expect(withoutSecrets(`no: ${long.slice(0, 20)}`)).toBe('no: [secret]')
  })

  test('of several lines is masked line by line', () => {
    const lines = ['MIIEvQIBADANBgkqhkiG9w0BAQEFAASC', 'BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj']
    rememberSecret(`-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----`)
    expect(withoutSecrets(`read ${lines[1]}`)).toBe('read [secret]')
    expect(withoutSecrets('-----BEGIN PRIVATE KEY-----')).toBe('-----BEGIN PRIVATE KEY-----')
  })
})

test('what is too short to be told from words is left, for it stands in all of them', () => {
  rememberSecret('secret')
  expect(withoutSecrets('no secret in file x')).toBe('no secret in file x')
})

test('of an address what may be a secret is remembered', () => {
  rememberAddress('https://hooks.example.com/services/T0123/Wm5nQ8rT2yU6iO0pA4sD?sig=Zx1Cv3Bn5Mq7We9Rt2Yu')
  expect(withoutSecrets('POST /services/T0123/Wm5nQ8rT2yU6iO0pA4sD')).toBe('POST [secret]')
  rememberAddress('file:///var/lib/cordon-evidence-of-incidents')
  expect(withoutSecrets('in /var/lib/cordon-evidence-of-incidents')).toBe('in /var/lib/cordon-evidence-of-incidents')
  expect(withoutSecrets('sig=Zx1Cv3Bn5Mq7We9Rt2Yu and hooks.example.com')).toBe('sig=[secret] and hooks.example.com')
})

test('tokens that were issued are remembered until many others were', () => {
  const token = rememberIssued('issued-first-of-all-9431')
  expect(withoutSecrets(token)).toBe('[secret]')
  for (let at = 0; at < 100; at++) rememberIssued(`${at}-of-the-later-tokens`)
  expect(withoutSecrets(token)).toBe(token)
  expect(withoutSecrets('99-of-the-later-tokens')).toBe('[secret]')
})

test('values are masked through and through, and are otherwise as they were', () => {
  const value = { a: [1, null, true, `x ${CORE}`], b: { c: 'plain', d: undefined } }
  expect(valueWithoutSecrets(value)).toEqual({ a: [1, null, true, 'x [secret]'], b: { c: 'plain', d: undefined } })
})
