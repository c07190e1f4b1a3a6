import type { Finding } from './kind.ts'

/*
 * Secrets that show what they are: by a prefix that their issuer gave them, by their armour, or by the header or URL that carries them.
 * Lengths are the shortest that an issuer uses, less a little: a cut token is still a token.
 */

/** By kind: issuers' prefixes and what follows. */
const ISSUED: readonly (readonly [kind: string, ...forms: readonly string[]])[] = [
  ['aws_key', '(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])'],
  ['github_token', 'gh[pousr]_[A-Za-z0-9]{20,}', 'github_pat_[A-Za-z0-9_]{20,}'],
  ['gitlab_token', 'gl(?:pat|dt|ptt|rt|ft|oas|cbt|agent|soat|imt)-[\\w-]{16,}'],
  ['slack_token', 'xox[abceoprsd](?:\\.xox[bp])?-[\\w-]{10,}', 'xapp-[\\w-]{10,}'],
  ['google_key', 'AIza[\\w-]{30,}', 'ya29\\.[\\w-]{20,}', 'GOCSPX-[\\w-]{20,}', '1//0[\\w-]{24,}'],
  ['anthropic_key', 'sk-ant-[\\w-]{16,}'],
  ['openai_key', 'sk-(?:(?:proj|svcacct|admin|or-v1)-)?(?=[\\w-]{0,30}\\d)[\\w-]{20,}'],
  ['stripe_key', '[rs]k_(?:live|test|prod)_[A-Za-z0-9]{10,}', 'whsec_[A-Za-z0-9+/]{20,}={0,2}'],
  ['npm_token', 'npm_[A-Za-z0-9]{30,}'],
  ['vault_token', 'hv[sbr]\\.[\\w-]{20,}', 's\\.(?=[A-Za-z]{0,23}\\d)[A-Za-z0-9]{24}(?![A-Za-z0-9])'],
  [
    'vendor_token',
    'pypi-[\\w-]{40,}',
    'hf_[A-Za-z0-9]{30,}',
    'do[opr]_v1_[a-f0-9]{40,}',
    'dapi[a-f0-9]{32}',
    'dckr_(?:pat|oat)_[\\w-]{20,}',
    'shp(?:at|ca|pa|ss)_[a-fA-F0-9]{30,}',
    'SK[0-9a-f]{32}(?![A-Za-z0-9])',
    'key-[0-9a-f]{32}(?![A-Za-z0-9])',
    'sq0[a-z]{3}-[\\w-]{20,}',
    'PMAK-[a-f0-9-]{50,}',
    'NRAK-[A-Z0-9]{25,}',
    'gl(?:sa|c)_[A-Za-z0-9+/_=]{30,}',
    'ATATT3[\\w=-]{60,}',
    'lin_api_[A-Za-z0-9]{30,}',
    'gsk_[A-Za-z0-9]{40,}',
    'xai-[A-Za-z0-9]{40,}',
    'pplx-[A-Za-z0-9]{30,}',
    'r8_[A-Za-z0-9]{30,}',
    'sntr[ysu]{1,2}_[A-Za-z0-9+/_=]{40,}',
    'tskey-[a-z]{2,12}-[\\w-]{16,}',
    'AGE-SECRET-KEY-1[A-Z0-9]{50,}',
  ],
]
/** No token is longer: an expression that may run on for millions of characters runs out of stack. */
const LONGEST = 65_536
const bounded = (form: string) => form.replaceAll(',}', `,${LONGEST}}`)
const PREFIXED = new RegExp(
  `(?<![A-Za-z0-9])(?:${ISSUED.map(([kind, ...forms]) => `(?<${kind}>${bounded(forms.join('|'))})`).join('|')})`,
  'g',
)

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

/** What a text must have for any of the forms to fit: cheaper than to try them. */
const SIGNS =
  /-----BEGIN|:\/\/|eyJ|SG\.|8Q~|:AA|(?:AK|AS|AB|AC)(?:IA|CA)|gh[pousr]_|hub_pat|gl[a-z]{1,5}[-_]|xox|xapp|AIza|ya29|GOCSPX|1\/\/0|sk-|[rs]k_|whsec|npm_|hv[sbr]\.|s\.[A-Za-z\d]{24}|pypi-|hf_|do[opr]_v1|dapi|dckr|shp[acs]|SK[\da-f]|key-|sq0|PMAK|NRAK|ATATT|lin_|gsk_|xai-|pplx|r8_|sntr|tskey|SECRET-KEY/
const CARRIERS = /authorization|bearer|basic |cookie|[?&](?:sig|x-)/i

/** Tokens, keys and passwords that can be told by their form. */
export function* findTokens(text: string): Generator<Finding> {
  if (SIGNS.test(text)) yield* findIssued(text)
  if (CARRIERS.test(text)) yield* findCarried(text)
}

function* findIssued(text: string): Generator<Finding> {
  yield* findArmour(text)
  for (const { 0: value, index: start, groups = {} } of text.matchAll(PREFIXED)) {
    const kind = ISSUED.find(([kind]) => groups[kind] !== undefined)![0]
    yield { kind, start, end: start + value.length, value }
  }
  for (const { kind, form } of DOTTED) {
    for (const { 0: value, index: start } of text.matchAll(form)) yield { kind, start, end: start + value.length, value }
  }
  yield* behind(text, 'url_password', URL_PASSWORD)
}

function* findCarried(text: string): Generator<Finding> {
  yield* behind(text, 'authorization', HEADER)
  yield* behind(text, 'authorization', BEARER)
  yield* behind(text, 'authorization', BASIC, isPair)
  yield* behind(text, 'cookie', COOKIE)
  yield* behind(text, 'credential', SIGNATURE)
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
