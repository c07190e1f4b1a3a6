import type { Finding, Look } from './kind.ts'
import type { Sign } from './signs.ts'
import { AT, TOKEN, WORDS } from './suspicion.ts'

/*
 * Secrets that show what they are: by a prefix that their issuer gave them, by their armour, or by the header or URL that carries them.
 * Lengths are the shortest that an issuer uses, less a little: a cut token is still a token.
 */

/** By kind: issuers' prefixes, and what follows them. */
const ISSUED: readonly (readonly [kind: string, prefixes: string, form: string])[] = [
  ['aws_key', 'AKIA ASIA ABIA ACCA', '[A-Z0-9]{16}(?![A-Za-z0-9])'],
  ['github_token', 'ghp_ gho_ ghu_ ghs_ ghr_', '[A-Za-z0-9]{20,}'],
  ['github_token', 'github_pat_', '[A-Za-z0-9_]{20,}'],
  ['gitlab_token', 'glpat- gldt- glptt- glrt- glft- gloas- glcbt- glagent- glsoat- glimt-', '[\\w-]{16,}'],
  ['slack_token', 'xoxa xoxb xoxc xoxe xoxo xoxp xoxr xoxs xoxd', '(?:\\.xox[bp])?-[\\w-]{10,}'],
  ['slack_token', 'xapp-', '[\\w-]{10,}'],
  ['google_key', 'AIza', '[\\w-]{30,}'],
  ['google_key', 'ya29. GOCSPX-', '[\\w-]{20,}'],
  ['google_key', '1//0', '[\\w-]{24,}'],
  ['anthropic_key', 'sk-ant-', '[\\w-]{16,}'],
  ['openai_key', 'sk-', '(?:(?:proj|svcacct|admin|or-v1)-)?(?=[\\w-]{0,30}\\d)[\\w-]{20,}'],
  ['stripe_key', 'sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_', '[A-Za-z0-9]{10,}'],
  ['stripe_key', 'whsec_', '[A-Za-z0-9+/]{20,}={0,2}'],
  ['npm_token', 'npm_', '[A-Za-z0-9]{30,}'],
  ['vault_token', 'hvs. hvb. hvr.', '[\\w-]{20,}'],
  ['vendor_token', 'pypi-', '[\\w-]{40,}'],
  ['vendor_token', 'hf_ r8_ lin_api_ pplx-', '[A-Za-z0-9]{30,}'],
  ['vendor_token', 'doo_v1_ dop_v1_ dor_v1_', '[a-f0-9]{40,}'],
  ['vendor_token', 'dapi', '[a-f0-9]{32}'],
  ['vendor_token', 'dckr_pat_ dckr_oat_', '[\\w-]{20,}'],
  ['vendor_token', 'sq0', '[a-z]{3}-[\\w-]{20,}'],
  ['vendor_token', 'shpat_ shpca_ shppa_ shpss_', '[a-fA-F0-9]{30,}'],
  ['vendor_token', [...'0123456789abcdef'].map((digit) => `SK${digit}`).join(' '), '[0-9a-f]{31}(?![A-Za-z0-9])'],
  ['vendor_token', 'key-', '[0-9a-f]{32}(?![A-Za-z0-9])'],
  ['vendor_token', 'PMAK-', '[a-f0-9-]{50,}'],
  ['vendor_token', 'NRAK-', '[A-Z0-9]{25,}'],
  ['vendor_token', 'glsa_ glc_', '[A-Za-z0-9+/_=]{30,}'],
  ['vendor_token', 'ATATT3', '[\\w=-]{60,}'],
  ['vendor_token', 'gsk_ xai-', '[A-Za-z0-9]{40,}'],
  ['vendor_token', 'sntry sntrs sntru', '[ysu]?_[A-Za-z0-9+/_=]{40,}'],
  ['vendor_token', 'tskey-', '[a-z]{2,12}-[\\w-]{16,}'],
  ['vendor_token', 'AGE-SECRET-KEY-1', '[A-Z0-9]{50,}'],
]
const prefixesOf = ([, prefixes]: (typeof ISSUED)[number]) => prefixes.split(' ')
/** No token is longer: an expression that may run on for millions of characters runs out of stack. */
const LONGEST = 65_536
const bounded = (form: string) => form.replaceAll(',}', `,${LONGEST}}`)
const PREFIXED = new RegExp(
  `(?<![A-Za-z0-9])(?:${ISSUED.map((issued) => `((?:${prefixesOf(issued).map(RegExp.escape).join('|')})${bounded(issued[2])})`).join('|')})`,
  'g',
)

/** Vault's tokens of old. Their prefix is the end of many a sentence, so they are looked for apart. */
const BRIEF = /(?<![A-Za-z0-9])s\.(?=[A-Za-z]{0,23}\d)[A-Za-z0-9]{24}(?![A-Za-z0-9])/g

/** Where a run that is no token ends, another may only begin behind it: else a text of beginnings would be read again from each. */
const DOTTED = (
  [
    ['jwt', /(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]{0,}){0,3}/g],
    ['vendor_token', /(?<![\w-])SG\.[\w-]{16,}\.[\w-]{16,}/g],
    ['vendor_token', /(?<!\d)\d{8,10}:AA[\w-]{32,}/g],
    ['azure_key', /(?<![\w~.-])[\w~-]{3}8Q~[\w~.-]{30,}/g],
    ['slack_token', /(?<=hooks\.slack\.com\/(?:services|workflows|triggers)\/)[\w/]{16,}/g],
    ['vendor_token', /(?<=discord(?:app)?\.com\/api\/webhooks\/\d{5,25}\/)[\w-]{30,}/g],
  ] as const
).map(([kind, form]) => ({ kind, form: new RegExp(bounded(form.source), form.flags) }))
const DOTTED_SIGNS = ['eyJ', 'SG.', ':AA', '8Q~', 'hooks.slack.com', 'api/webhooks']

/** To its end, or as far as a text that was cut goes. */
const ARMOUR = /-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----/g
const ARMOUR_END = /-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----/g

/** `Authorization: Bearer …`, also as a part of a command line or of JSON. */
const HEADER =
  /\b(?:proxy-)?authorization["']?\s{0,3}[:=]\s{0,3}["']?(?:(?:bearer|basic|digest|token|ssws|apikey|negotiate|splunk|bot)\s{1,3}(?=[^\s"',;]{3})|(?=[^\s"',;]{8}))([^\s"',;]{3,8192})/gi
const BEARER = /\bbearer\s{1,3}(?=[\w.~+/=-]{0,64}\d)([\w.~+/-]{12,8192}={0,2})/gi
const BASIC = /\bbasic\s{1,3}([A-Za-z0-9+/]{8,1024}={0,2})/gi
const COOKIE = /\b(?:set-)?cookie["']?:\s{0,3}["']?([^\r\n"']{6,4096})/gi
const SIGNATURE = /[?&](?:sig|x-amz-signature|x-goog-signature)=([\w%+/=-]{20,1024})/gi
const URL_PASSWORD = /:\/\/[^\s/?#"'<>@:]{0,256}:([^\s/"'<>]{1,256})@/g

const anywhere = (literal: string): Sign => ({ literal })

/** Tokens, keys and passwords that can be told by their form. */
export const TOKENS: readonly Look[] = [
  { flags: TOKEN | WORDS | AT, signs: [anywhere('-----BEGIN')], find: (text) => [findArmour(text)] },
  {
    flags: TOKEN | WORDS | AT,
    signs: ISSUED.flatMap(prefixesOf).map((literal) => ({ literal, exact: true })),
    find: (text) => [findPrefixed(text)],
  },
  { flags: TOKEN, signs: [anywhere('s.')], find: (text) => [allOf(text, 'vault_token', BRIEF)] },
  { flags: TOKEN | WORDS | AT, signs: DOTTED_SIGNS.map(anywhere), find: (text) => DOTTED.map(({ kind, form }) => allOf(text, kind, form)) },
  { flags: AT, signs: [anywhere('://')], find: (text) => [behind(text, 'url_password', URL_PASSWORD)] },
  { flags: TOKEN | WORDS | AT, signs: [anywhere('authorization')], find: (text) => [behind(text, 'authorization', HEADER)] },
  { flags: TOKEN | WORDS | AT, signs: [anywhere('bearer')], find: (text) => [behind(text, 'authorization', BEARER)] },
  { flags: TOKEN | WORDS | AT, signs: [anywhere('basic')], find: (text) => [behind(text, 'authorization', BASIC, isPair)] },
  { flags: TOKEN | WORDS | AT, signs: [anywhere('cookie')], find: (text) => [behind(text, 'cookie', COOKIE)] },
  { flags: TOKEN | WORDS | AT, signs: [anywhere('sig='), anywhere('signature=')], find: (text) => [behind(text, 'credential', SIGNATURE)] },
]

function* findPrefixed(text: string): Generator<Finding> {
  for (const match of text.matchAll(PREFIXED)) {
    const kind = ISSUED[match.findIndex((group, at) => at > 0 && group !== undefined) - 1]![0]
    yield { kind, start: match.index, end: match.index + match[0].length, value: match[0] }
  }
}

function* allOf(text: string, kind: string, form: RegExp): Generator<Finding> {
  for (const { 0: value, index: start } of text.matchAll(form)) yield { kind, start, end: start + value.length, value }
}

/** `user:password` in base64. */
function isPair(value: string): boolean {
  return /^[\x20-\x7e]*:[\x20-\x7e]+$/.test(Buffer.from(value, 'base64').toString('latin1'))
}

function* findArmour(text: string): Generator<Finding> {
  let end = 0
  for (const { index: start } of text.matchAll(ARMOUR)) {
    if (start < end) continue
    ARMOUR_END.lastIndex = start
    end = ARMOUR_END.test(text) ? ARMOUR_END.lastIndex : text.length
    yield { kind: 'private_key', start, end, value: text.slice(start, end) }
  }
}

/** The last thing that a form matches is the secret; what stands before it says so. */
function* behind(text: string, kind: string, form: RegExp, isSecret = isReal): Generator<Finding> {
  for (const { 0: whole, 1: value = '', index } of text.matchAll(form)) {
    const start = index + whole.lastIndexOf(value)
    if (isSecret(value)) yield { kind, start, end: start + value.length, value }
  }
}

const PLACEHOLDER = /\[REDACTED:|^(?:\*{3}|<|\$[A-Z_a-z{(]|%[A-Z_]+%|\{\{|hmac-|sha\d+:|(?:null|none|true|false|undefined|redacted)$)/i

/** Not a place where a secret would stand, nor what others left in its place. */
export function isReal(value: string): boolean {
  return !PLACEHOLDER.test(value)
}
