import { describe, expect, test } from 'vitest'
import type { Draft } from '../event/event.ts'
import type { JsonObject } from '../event/json.ts'
import { Privacy } from './privacy.ts'

const CARD = '4111 1111 1111 1111'
const redact = (ecs: JsonObject, native?: JsonObject): Draft =>
  Privacy.DEFAULT.redact({ time: 1, logsource: [], ecs, ...(native === undefined ? {} : { native }) })

describe('an event', () => {
  test('without findings is the same object', () => {
    const draft: Draft = { time: 1, logsource: [{ product: 'x' }], ecs: { message: 'all well' }, native: { a: [1, 2n ** 60n] } }
    expect(Privacy.DEFAULT.redact(draft)).toBe(draft)
  })

  test('is redacted wherever it says something: values, lists, names, numbers, tags', () => {
    const { ecs, native, logsource } = Privacy.DEFAULT.redact({
      time: 1,
      logsource: [{ product: CARD }],
      ecs: { message: `pay ${CARD}`, process: { args: ['x', '--password', 'hunter2'] } },
      native: { [`to ${CARD}`]: { deep: [[{ ssn: '123-45-6789' }]] }, amount: 4111111111111111, big: 6011000990139424n },
    })
    expect(ecs).toMatchObject({ message: 'pay [REDACTED:card]', process: { args: ['x', '--password', '[REDACTED:password]'] } })
    expect(native).toEqual({
      'to [REDACTED:card]': { deep: [[{ ssn: '[REDACTED:ssn]' }]] },
      amount: '[REDACTED:card]',
      big: '[REDACTED:card]',
    })
    expect(logsource).toEqual([{ product: '[REDACTED:card]' }])
  })

  test('has distinct elements counted, however they are written and however often', () => {
    const { ecs } = redact(
      { message: `${CARD} 4111-1111-1111-1111 a@b.example A@B.example`, event: { original: CARD } },
      { n: 4111111111111111, k: 'ghp_a1B2a1B2a1B2a1B2a1B2a1B2', again: '"ghp_a1B2a1B2a1B2a1B2a1B2a1B2"' },
    )
    expect(ecs.dlp).toEqual({ pii: { count: 2, types: ['card', 'email'] }, secret: { count: 1, kind: ['github_token'] } })
  })

  test('redacted again is the same, with its counts', () => {
    const once = redact({ message: `${CARD} password=hunter2!`, authorization: 'Bearer eyJ0' }, { cookie: 'sid=1234567' })
    expect(Privacy.DEFAULT.redact(once)).toBe(once)
  })

  test('keeps what was found elsewhere before', () => {
    const { ecs } = redact({ message: CARD, dlp: { pii: { count: 5, types: ['iban'] }, policy: 'x' } })
    expect(ecs.dlp).toEqual({ pii: { count: 5, types: ['card', 'iban'] }, policy: 'x' })
  })

  test('keeps names apart that differ in what was redacted', () => {
    const { ecs } = redact({ counts: { 'a@b.example': 1, 'c@d.example': 2 } })
    expect(ecs.counts).toEqual({ '[REDACTED:email]': 1, '[REDACTED:email]#2': 2 })
  })

  test('has a name that is an own property, whatever it is', () => {
    const { native } = redact({}, JSON.parse('{"__proto__": "4111 1111 1111 1111", "x": 1}'))
    expect(Object.keys(native!)).toEqual(['__proto__', 'x'])
    expect(({} as { x?: unknown }).x).toBeUndefined()
  })
})

describe('whom an event is about', () => {
  test('stays, in the fields that say so and wherever else', () => {
    const { ecs, native } = redact(
      { user: { email: 'ana@corp.example' }, related: { user: ['bo@corp.example'] }, message: 'ana@corp.example, c@x.example' },
      { actor: { alternateId: 'Ana@corp.example' } },
    )
    expect(ecs).toMatchObject({ user: { email: 'ana@corp.example' }, related: { user: ['bo@corp.example'] } })
    expect(ecs.message).toBe('ana@corp.example, [REDACTED:email]')
    expect(native).toEqual({ actor: { alternateId: 'Ana@corp.example' } })
    expect(ecs.dlp).toEqual({ pii: { count: 1, types: ['email'] } })
  })

  test('is an address, never a card, nor what is written around it', () => {
    const { ecs } = redact({ user: { name: CARD, id: 'ana@corp.example and bo@corp.example' } })
    expect(ecs.user).toEqual({ name: '[REDACTED:card]', id: '[REDACTED:email] and [REDACTED:email]' })
  })
})

describe('what a name promises', () => {
  test.each<[JsonObject, JsonObject]>([
    [{ password: 'correct horse' }, { password: '[REDACTED:password]' }],
    [{ dbPassword: 123456789 }, { dbPassword: '[REDACTED:password]' }],
    [{ headers: { Authorization: 'Custom abcdefgh' } }, { headers: { Authorization: '[REDACTED:authorization]' } }],
    [{ client_secret: 'abcdefg1' }, { client_secret: '[REDACTED:credential]' }],
    [{ list: [{ name: 'api-key', value: 'abcdefg1' }] }, { list: [{ name: 'api-key', value: '[REDACTED:credential]' }] }],
    [
      { attributes: [{ key: 'password', value: { stringValue: 'abc' } }] },
      { attributes: [{ key: 'password', value: { stringValue: '[REDACTED:password]' } }] },
    ],
    [{ access_token: 'ghp_a1B2a1B2a1B2a1B2a1B2a1B2' }, { access_token: '[REDACTED:github_token]' }],
    [
      { mobile: '4155552671', ssn: 123456789 },
      { mobile: '[REDACTED:phone]', ssn: '[REDACTED:ssn]' },
    ],
  ])('%j', (before, after) => {
    expect(redact({}, before).native).toEqual(after)
  })

  test.each<JsonObject>([
    { token: { id: 'cap-2f8e1c3a9b' } },
    { token_id: 'abcdef1234567890' },
    { input_tokens: 123456, max_tokens: 4096, token: 'cap-1' },
    { flow_id: 4111111111111111, bytes: 4111111111111111, text: '4111111111111111' },
    { hashed_token: 'q83vEjRWeJCrze8SNFZ4kA1234567890' },
    { user_api_key_hash: '88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b' },
    { credentialType: 'PASSWORD', password: null, secret: false },
    { client_token: 'hmac-sha256:6b86b273ff34fce19d6b804eff5a3f57' },
    { pwd: '/home/ana' },
    { userIdentity: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE' } },
    { 'session.id': 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6', thread: 'sess_01ABCDEF234567' },
  ])('%j stays', (native) => {
    expect(redact({}, native).native).toEqual(native)
  })
})
