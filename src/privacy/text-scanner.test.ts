import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Privacy } from './privacy.ts'

const { DEFAULT } = Privacy
const base64 = (text: string, encoding: BufferEncoding = 'utf8') => Buffer.from(text, encoding).toString('base64')
const hex = (text: string) => Buffer.from(text).toString('hex')

describe('what is found, and what stands in its place', () => {
  test.each([
    ['4111 1111 1111 1111', '[REDACTED:card]'],
    ['card 5555-5555-5555-4444, 12/27', 'card [REDACTED:card], 12/27'],
    ['378282246310005', '[REDACTED:card]'],
    ['3782 822463 10005.', '[REDACTED:card].'],
    ['GB82 WEST 1234 5698 7654 32 and more', '[REDACTED:iban] and more'],
    ['iban=de89370400440532013000;', 'iban=[REDACTED:iban];'],
    ['SSN 123-45-6789', 'SSN [REDACTED:ssn]'],
    ['ssn: 123456789', 'ssn: [REDACTED:ssn]'],
    ['call +1 415 555 2671 now', 'call [REDACTED:phone] now'],
    ['+44 20 7946 0958', '[REDACTED:phone]'],
    ['+33 1 23 45 67 89', '[REDACTED:phone]'],
    ['(415) 555-2671', '[REDACTED:phone]'],
    ['mail Ana.Lopez+x@mail.example.co.uk.', 'mail [REDACTED:email].'],
    ['<zoë@exämple.de>', '<[REDACTED:email]>'],
    [`x ghp_${'a1B2'.repeat(9)} y`, 'x [REDACTED:github_token] y'],
    ['AKIAIOSFODNN7EXAMPLE', '[REDACTED:aws_key]'],
    ['aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', 'aws_secret_access_key = [REDACTED:credential]'],
    ['sk-ant-api03-abcdefghijk1234567890', '[REDACTED:anthropic_key]'],
    ['sk-proj-abcdefghijk1234567890', '[REDACTED:openai_key]'],
    ['postgres://app:p@ss@db.example.com/x', 'postgres://app:[REDACTED:url_password]@db.example.com/x'],
    ['curl -H "Authorization: Bearer abc/def0123456789" https://x', 'curl -H "Authorization: Bearer [REDACTED:authorization]" https://x'],
    [`Basic ${base64('ana:hunter2')}`, 'Basic [REDACTED:authorization]'],
    ['Cookie: sid=38afes7a8; theme=dark', 'Cookie: [REDACTED:cookie]'],
    ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc_def', '[REDACTED:jwt]'],
    ['-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\nbnNz\n-----END OPENSSH PRIVATE KEY-----\nrest', '[REDACTED:private_key]\nrest'],
    ['-----BEGIN PRIVATE KEY-----\nMIIEcut', '[REDACTED:private_key]'],
    ['mysql --password hunter22 -u root', 'mysql --password [REDACTED:password] -u root'],
    ['the password is Hunter2!', 'the password is [REDACTED:password]'],
    ['Server=db;Pwd=x9!aaaa;', 'Server=db;Pwd=[REDACTED:password];'],
    ['https://a/b?sig=abcdefghijklmnopqrstuv%3D&x=1', 'https://a/b?sig=[REDACTED:credential]&x=1'],
    ['//registry.example/:_authToken=0123456789abcdef', '//registry.example/:_authToken=[REDACTED:credential]'],
  ])('%j', (text, scrubbed) => {
    expect(DEFAULT.scrub(text)).toBe(scrubbed)
  })

  test.each([
    ['JSON in JSON', '{\\"clientSecret\\":\\"abcDEF123456789\\"}', '{\\"clientSecret\\":\\"[REDACTED:credential]\\"}'],
    ['escaped breaks', 'a\\nancy@example.com\\n4111111111111111\\n', 'a\\n[REDACTED:email]\\n[REDACTED:card]\\n'],
    ['escaped signs', 'ana\\u0040example.com', '[REDACTED:email]'],
    ['URLs', '/s?q=ana%40example.com&c=4111%201111%201111%201111', '/s?q=[REDACTED:email]&c=[REDACTED:card]'],
    ['base64', `data:;base64,${base64('my card is 4111 1111 1111 1111, ok')}`, 'data:;base64,[REDACTED:card]'],
    ['base64 behind a name', `curl -d data=${base64('mail ana@example.com')}`, 'curl -d data=[REDACTED:email]'],
    ['base64 in base64', base64(base64('ana@example.com is mine')), '[REDACTED:email]'],
    ['wide base64', base64('mail ana@example.com', 'utf16le'), '[REDACTED:email]'],
    ['hexadecimal', hex('cat ana@example.com').toUpperCase(), '[REDACTED:email]'],
    ['several in one', base64('ana@example.com 4111 1111 1111 1111'), '[REDACTED:email][REDACTED:card]'],
  ])('in %s', (_, text, scrubbed) => {
    expect(DEFAULT.scrub(text)).toBe(scrubbed)
  })
})

describe('what is left', () => {
  test.each([
    '2026-09-21T14:13:20.123456789Z',
    '2020-11-25 21:27:03.496000000',
    '3f2504e0-4f89-11d3-9a0c-0305e82c3301',
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '203.0.113.150',
    '1790000000123456789',
    '0.4444444444444448',
    '4111111111111112',
    '1:LQU9qZlK+B5F3KDmev6m5PMibrg=',
    'git@github.com:org/repo.git',
    'user@1000.service',
    'icon@2x.png',
    'chacha20-poly1305@openssh.com',
    '"clientToken": "5dd59182-3917-421c-9b2c-7c92954b66ee"',
    'react@18.2.0',
    'PublicKeyToken=b77a5c561934e089',
    'max_tokens: 4096',
    'token_id=cap-2f8e1c3a9b7d',
    'hmac-sha256:6b86b273ff34fce19d6b804eff5a3f57',
    'Password: required',
    'the token is invalid',
    '/usr/lib/node_modules/npm/bin/npm-cli.js',
    'arn:aws:iam::123456789012:user/john.developer',
    '000-12-3456',
    'GB82 WEST 1234 5698 7654 33',
    'C:\\Windows\\System32\\cmd.exe /c dir',
    'password=$DB_PASSWORD',
  ])('%j', (text) => {
    expect(DEFAULT.scrub(text)).toBe(text)
  })
})

/** Pieces of which a text holds findings, and beginnings of them. */
const piece = fc.constantFrom(
  ...['4111 1111 1111 1111', '378282246310005', '123-45-6789', 'ana@example.com', '+14155552671', 'GB82WEST12345698765432'],
  ...[
    'ghp_a1B2a1B2a1B2a1B2a1B2a1B2',
    'eyJhbGciOiJIUzI1NiJ9',
    '.eyJzdWIi',
    'password',
    'token',
    'Bearer ',
    'authorization',
    'cookie',
    'ssn',
  ],
  ...[
    '://',
    ':',
    '=',
    ' ',
    '@',
    '"',
    '\\n',
    '\\"',
    '%40',
    '-----BEGIN PRIVATE KEY-----',
    '[REDACTED:card]',
    '[REDACTED:',
    ']',
    '123456789',
  ],
  ...['hunter2!x', 'abcDEF123456789', base64('ana@example.com and'), hex('ssn 123-45-6789'), 'key', '-', '/', '.', '4'],
)

test('what was redacted once is left as it is', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 6 })), { maxLength: 12 }), (pieces) => {
      const once = DEFAULT.scrub(pieces.join(''))
      expect(DEFAULT.scrub(once)).toBe(once)
    }),
    { numRuns: 3_000 },
  )
})

test.each([
  '@',
  '4 ',
  '4111 ',
  'eyJ',
  'eyJaaaaaaaaaaa-',
  'a@',
  '://a:',
  'AA11 ',
  'password',
  'Bearer ',
  '-----BEGIN PRIVATE KEY-----',
  '\\\\',
  '%40',
  'cookie:',
  's.a',
  '+1 ',
  'sk-',
  '(415) ',
  'password=',
  'secret:',
  'secret="',
  '--token ',
  'ana@example.com ',
  '+14155552671 ',
  'GB82WEST12345698765432 ',
])(
  'a long text of %j alone is read to its end',
  (bit) => {
    const text = bit.repeat(200_000 / bit.length)
    expect(DEFAULT.scrub(text).length).toBeLessThanOrEqual(2 * text.length)
  },
  2_000,
)

/** Least processor time of three runs: what else the machine does only adds to it. */
function costOf(text: string): number {
  const runs = Array.from({ length: 3 }, () => {
    const start = process.cpuUsage()
    DEFAULT.scrub(text)
    const { user, system } = process.cpuUsage(start)
    return user + system
  })
  return Math.min(...runs)
}

test.each(['password=', 'secret:', 'token=a1', 'a@b.co ', '://a:b@', '+1 415 '])(
  'eight times as much of %j costs about eight times as much',
  (bit) => {
    expect(costOf(bit.repeat(24_000)) / costOf(bit.repeat(3_000))).toBeLessThan(24)
  },
)

test('a secret is gone to its end, however long, and whatever names stand in it', () => {
  expect(DEFAULT.scrub(`password=x${'password='.repeat(5_000)} after`)).toBe('password=[REDACTED:password] after')
  expect(DEFAULT.scrub(`token="${'a1'.repeat(5_000)}" after`)).toBe('token="[REDACTED:credential]" after')
})

test.each(['x', '1', 'a1', '-', '\\', '/', 'AKIA', 'eyJ', 'gho_', '+1'])('ten million characters of %j need no stack', (bit) => {
  const text = bit.repeat(10_000_000 / bit.length)
  expect(DEFAULT.scrub(text)).toHaveLength(text.length)
})

describe('settings', () => {
  test('leave out what a site wants to keep', () => {
    const privacy = new Privacy({ except: ['email'], patterns: [] })
    expect(privacy.scrub('ana@example.com 123-45-6789')).toBe('ana@example.com [REDACTED:ssn]')
  })

  test('add what it has of its own, and never read a marker', () => {
    const own = [{ kind: 'staff_number', class: 'pii', pattern: '(?i)\\bSTF-\\d{6}\\b|card|REDACTED' }] as const
    const privacy = new Privacy({ except: [], patterns: own })
    const once = privacy.scrub('stf-123456 has 4111111111111111')
    expect(once).toBe('[REDACTED:staff_number] has [REDACTED:card]')
    expect(privacy.scrub(once)).toBe(once)
  })

  test('refuse what is no expression', () => {
    const patterns = [{ kind: 'x', class: 'pii', pattern: '(?=a)b' }] as const
    expect(() => new Privacy({ except: [], patterns })).toThrowError(expect.objectContaining({ code: 'PRIVACY_PATTERN' }))
  })
})
