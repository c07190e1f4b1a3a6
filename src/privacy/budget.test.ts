import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CANARIES, type Canary } from '../../test/kits/canaries.ts'
import type { Draft } from '../event/event.ts'
import { getPath, type JsonObject, stringifyJson } from '../event/json.ts'
import { redactDraft } from './document.ts'
import { PII } from './kind.ts'
import { Names } from './names.ts'
import { MOST_FINDINGS, Privacy } from './privacy.ts'
import { TextScanner } from './text-scanner.ts'

const ALL = () => true
const classOf = (kind: string) => ((PII as readonly string[]).includes(kind) ? 'pii' : 'secret')

/** By a scanner that has seen nothing before, so that nothing it remembers can matter. */
function redacted(most: number, native: JsonObject, ecs: JsonObject = {}): { readonly draft: Draft; readonly isCut: boolean } {
  const scanner = new TextScanner(ALL)
  return redactDraft({ time: 1, logsource: [], ecs, native }, scanner, new Names(scanner), classOf, most)
}

const scrubbed = (text: string, most: number) => new TextScanner(ALL).redact(text, () => false, most)?.text ?? text
const base64 = (text: string) => Buffer.from(text).toString('base64')
const address = (n: number) => `p${n}@x.example`
const addresses = (from: number, to: number, by = ' ') => Array.from({ length: to - from }, (_, n) => address(from + n)).join(by)

describe('within the budget', () => {
  test('findings are told one by one, to the last', () => {
    const { draft, isCut } = redacted(3, { a: addresses(0, 3), b: 'and so on' })
    expect(draft.native).toEqual({ a: '[REDACTED:email] [REDACTED:email] [REDACTED:email]', b: 'and so on' })
    expect(draft.ecs.dlp).toEqual({ pii: { count: 3, types: ['email'] } })
    expect(isCut).toBe(false)
  })
})

describe('beyond the budget', () => {
  test('a text goes from the first of them on, and says that it does', () => {
    const { draft, isCut } = redacted(2, { a: `to ${addresses(0, 2)} and ${addresses(2, 9)}, and so on` })
    expect(draft.native).toEqual({ a: 'to [REDACTED:email] [REDACTED:email] and [REDACTED:rest]' })
    expect(draft.ecs.dlp).toEqual({ pii: { count: 2, types: ['email'] }, at_least: true })
    expect(isCut).toBe(true)
  })

  test('so does every other that holds any; what holds none stays', () => {
    const native = {
      a: addresses(0, 9),
      b: `see ${address(1)} now`,
      c: 'all well',
      d: [4111111111111111],
      [address(5)]: 1,
      [address(6)]: 2,
    }
    const { draft } = redacted(2, native, { user: { name: 'ana' }, message: 'call +14155552671' })
    expect(draft.native).toMatchObject({ b: 'see [REDACTED:rest]', c: 'all well', d: ['[REDACTED:rest]'] })
    expect(Object.keys(draft.native!).slice(4)).toEqual(['[REDACTED:rest]', '[REDACTED:rest]#2'])
    expect(draft.ecs).toMatchObject({ user: { name: 'ana' }, message: 'call [REDACTED:rest]' })
  })

  test.each<[string, JsonObject, JsonObject]>([
    ['a password that only its name tells', { password: 'correct horse' }, { password: '[REDACTED:rest]' }],
    ['an argument behind its flag', { args: ['--password', 'hunter2'] }, { args: ['--password', '[REDACTED:rest]'] }],
    [
      'a card where numbers are counted, which a text that was not read may have',
      { flow_id: 4111111111111111 },
      { flow_id: '[REDACTED:rest]' },
    ],
  ])('%s goes', (_, before, after) => {
    expect(redacted(1, { a: addresses(0, 2), ...before }).draft.native).toEqual({ a: '[REDACTED:email] [REDACTED:rest]', ...after })
  })

  test.each([
    [
      'a block that begins within it and ends beyond',
      `a -----BEGIN PRIVATE KEY-----\n${addresses(0, 5)}\nMIIE\n-----END PRIVATE KEY-----\nb`,
      'a [REDACTED:private_key][REDACTED:rest]',
    ],
    [
      'a block that begins behind it',
      `${address(0)} -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----`,
      '[REDACTED:email] [REDACTED:rest]',
    ],
    ['a kind that is looked for later', `${address(0)} ghp_a1B2a1B2a1B2a1B2a1B2a1B2`, '[REDACTED:email] [REDACTED:rest]'],
    ['a kind that is looked for earlier', `ghp_a1B2a1B2a1B2a1B2a1B2a1B2 ${address(0)}`, '[REDACTED:github_token] [REDACTED:rest]'],
    ['escapes', `a\\n${address(0)}\\n\\n${address(1)}`, 'a\\n[REDACTED:email]\\n\\n[REDACTED:rest]'],
    ['a run of base64 with more than is left', `x ${base64(addresses(0, 5))} y`, 'x [REDACTED:email][REDACTED:rest]'],
    ['a run of base64 behind it', `${address(0)} x ${base64(addresses(0, 5))} y`, '[REDACTED:email] x [REDACTED:rest]'],
  ])('%s', (_, text, result) => {
    expect(scrubbed(text, 1)).toBe(result)
  })
})

const planted = fc.uniqueArray(fc.constantFrom(...CANARIES), { minLength: 1, maxLength: 30, selector: ({ value }) => value })
const separator = fc.constantFrom('\n', ' \n', ' and then\n', ', \n\n', ';\n')
const packed = fc.constantFrom(
  (text: string) => text,
  (text: string) => base64(`seen: ${text}`),
  (text: string) => stringifyJson({ seen: text }),
  (text: string) => stringifyJson({ deep: stringifyJson([text]) }),
)

/** Canaries in texts of several fields, in lists and names. */
const record = fc
  .tuple(planted, fc.array(fc.nat(5), { minLength: 30, maxLength: 30 }), separator, fc.array(packed, { minLength: 6, maxLength: 6 }))
  .map(([canaries, places, between, packs]): { readonly canaries: readonly Canary[]; readonly native: JsonObject } => {
    const texts = packs.map((pack, field) => {
      const text = canaries.filter((_, at) => places[at] === field).map(({ text }) => text)
      return text.length === 0 ? '' : pack(text.join(between))
    })
    const [a, b, c, d, e, name] = texts as [string, string, string, string, string, string]
    return { canaries, native: { a, b: { deep: [b, { c }] }, list: [d, 'nothing', e], [`n ${name}`]: 1 } }
  })

/** Nobody may learn a secret from its beginning. */
const BEGINNING = 10

describe('whatever an event holds, and whatever the budget', () => {
  test('no canary survives, nor the beginning of one', () => {
    fc.assert(
      fc.property(record, fc.nat(30), ({ canaries, native }, most) => {
        const { draft, isCut } = redacted(most, native)
        const kept = stringifyJson([draft.ecs, draft.native!])
        const told = kept.includes('[REDACTED:rest]')
        expect(canaries.filter(({ value }) => kept.includes(value.slice(0, BEGINNING))).map(({ text }) => text)).toEqual([])
        expect([isCut, getPath(draft.ecs, 'dlp.at_least') === true]).toEqual([told, told])
      }),
      { numRuns: 2_000 },
    )
  })

  test('what is kept of a text is what is kept of it without a budget, and redacted again it is the same', () => {
    fc.assert(
      fc.property(planted, separator, packed, fc.nat(30), (canaries, between, pack, most) => {
        const text = pack(canaries.map(({ text }) => text).join(between))
        const once = scrubbed(text, most)
        expect(scrubbed(text, Number.POSITIVE_INFINITY).startsWith(once.replace(/\[REDACTED:rest\]$/, ''))).toBe(true)
        expect(scrubbed(once, most)).toBe(once)
      }),
      { numRuns: 2_000 },
    )
  })

  test('what is counted is what was found, or the budget and the word that there is more', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.integer({ min: 1, max: 30 }), fc.nat(40), (count, most, at) => {
        const split = Math.min(at, count)
        const { draft } = redacted(most, { a: addresses(0, split), b: [base64(`of ${addresses(split, count)}`)] })
        const expected = count > most ? { pii: { count: most, types: ['email'] }, at_least: true } : { pii: { count, types: ['email'] } }
        expect(draft.ecs.dlp).toEqual(count === 0 ? undefined : expected)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('what a sender of millions can make a node do', () => {
  test.each(['a@b.co ', '+1 415 555 2671 ', '://a:b@', 'password=hunter2! '])('of %j, no more than ten thousand markers', (bit) => {
    const text = bit.repeat(300_000)
    const { length } = [...Privacy.DEFAULT.scrub(text).matchAll(/\[REDACTED:/g)]
    expect(length).toBe(MOST_FINDINGS + 1)
  })

  test('names that are redacted alike are numbered, not tried', () => {
    const names = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [address(n), n]))
    const start = process.cpuUsage()
    const { native } = Privacy.DEFAULT.redact({ time: 1, logsource: [], ecs: {}, native: names(50_000) })
    const { user, system } = process.cpuUsage(start)
    expect(Object.keys(native!)).toHaveLength(50_000)
    expect((user + system) / 1e6).toBeLessThan(10)
  })

  test('a pattern of a site looks for markers near by', () => {
    const privacy = new Privacy({ except: [], patterns: [{ kind: 'staff_number', class: 'pii', pattern: 'STF' }] })
    const text = `${'-'.repeat(3_000_000)}${'STF '.repeat(9_000)}`
    const start = process.cpuUsage()
    expect(privacy.scrub(text)).toContain('-[REDACTED:staff_number]')
    const { user, system } = process.cpuUsage(start)
    expect((user + system) / 1e6).toBeLessThan(10)
  })
})
