import { createHash } from 'node:crypto'

/** A value that must be found nowhere, and how it is written where it is planted. */
export interface Canary {
  readonly class: 'pii' | 'secret'
  /** What is looked for. */
  readonly value: string
  /** The value with what shows that it is one: the name or the header in front of it. */
  readonly text: string
}

/** Letters and digits that are the same in every run, as an issuer would have drawn them. */
function drawn(seed: string, length: number, alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'): string {
  let text = ''
  for (let round = 0; text.length < length; round++) {
    for (const byte of createHash('sha256').update(`${seed}/${round}`).digest()) text += alphabet[byte % alphabet.length]
  }
  return text.slice(0, length)
}

const digits = (seed: string, length: number) => drawn(seed, length, '0123456789')

function card(prefix: string, length: number, seed: string): string {
  const body = prefix + digits(seed, length - prefix.length - 1)
  for (let check = 0; ; check++) if (luhn(body + check)) return body + check
}

function luhn(text: string): boolean {
  const sum = [...text].reverse().reduce((sum, digit, at) => {
    const value = Number(digit) * (at % 2 === 0 ? 1 : 2)
    return sum + (value > 9 ? value - 9 : value)
  }, 0)
  return sum % 10 === 0
}

function iban(country: string, account: string): string {
  const number = [...`${account}${country}00`].map((character) => Number.parseInt(character, 36)).join('')
  return `${country}${String(98n - (BigInt(number) % 97n)).padStart(2, '0')}${account}`
}

const inFours = (text: string) => text.replaceAll(/(.{4})(?=.)/g, '$1 ')

const PII: readonly string[] = [
  ...['4', '51', '55', '2221', '6011', '65', '3528', '62', '4'].map((prefix, at) => card(prefix, 16, `card ${at}`)),
  ...['34', '37'].map((prefix) => card(prefix, 15, prefix)),
  ...['4', '53', '2720', '6445'].map((prefix, at) => inFours(card(prefix, 16, `spaced ${at}`))),
  ...['4', '54'].map((prefix, at) => inFours(card(prefix, 16, `hyphens ${at}`)).replaceAll(' ', '-')),
  ...Array.from({ length: 9 }, (_, at) => `${214 + 61 * at}-${21 + at}-${1234 + at * 777}`),
  ...['DE', 'AT', 'BE', 'ES', 'IT'].map((country, at) => {
    const length = { DE: 18, AT: 16, BE: 12, ES: 20, IT: 0 }[country]!
    return iban(country, length === 0 ? `X${digits(country, 10)}${digits('it', 12)}` : digits(`iban ${at}`, length))
  }),
  ...['GB', 'NL'].map((country) => iban(country, country === 'GB' ? `WEST${digits('gb', 14)}` : `INGB${digits('nl', 10)}`)),
  ...[inFours(iban('FR', digits('fr', 23))), inFours(iban('CH', digits('ch', 17)))],
  ...['+1 212 555 0198', '+12125550187', '(646) 555-0176', '718-555-0165', '+44 20 7946 0958', '+49 30 901820', '+33 1 42 68 53 00'],
  ...['+81 3-3224-5000', '+61 2 9374 4000', '+55 11 2395-8400'],
  ...Array.from({ length: 5 }, (_, at) => `canary.${drawn(`mail ${at}`, 8).toLowerCase()}@mail.example`),
]

const named = (name: string, value: string) => ({ value, text: `${name}${value}` })

const SECRETS: readonly (string | { readonly value: string; readonly text: string })[] = [
  `AKIA${drawn('aws', 16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}`,
  `ASIA${drawn('aws 2', 16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}`,
  ...['ghp_', 'gho_', 'ghs_', 'ghu_', 'ghr_'].map((prefix) => prefix + drawn(prefix, 36)),
  `github_pat_${drawn('pat', 22)}_${drawn('pat 2', 59)}`,
  `glpat-${drawn('gl', 20)}`,
  `xoxb-${digits('x', 12)}-${digits('y', 12)}-${drawn('xoxb', 24)}`,
  `xoxp-${digits('p', 12)}-${drawn('xoxp', 32)}`,
  `xapp-1-A${drawn('xapp', 40)}`,
  `AIza${drawn('google', 35)}`,
  `ya29.${drawn('ya29', 60)}`,
  `GOCSPX-${drawn('gocspx', 28)}`,
  `sk-ant-api03-${drawn('ant', 90)}`,
  `sk-proj-${drawn('proj', 48)}`,
  `sk-${drawn('openai', 48)}`,
  `sk_live_${drawn('stripe', 24)}`,
  `rk_live_${drawn('stripe 2', 24)}`,
  `whsec_${drawn('hook', 32)}`,
  `npm_${drawn('npm', 36)}`,
  `pypi-${drawn('pypi', 80)}`,
  `hvs.${drawn('hvs', 90)}`,
  `s.${drawn('vault', 24)}`,
  `hf_${drawn('hf', 34)}`,
  `dop_v1_${drawn('do', 64, '0123456789abcdef')}`,
  `dapi${drawn('databricks', 32, '0123456789abcdef')}`,
  `SG.${drawn('sg', 22)}.${drawn('sg 2', 43)}`,
  `shpat_${drawn('shop', 32, '0123456789abcdef')}`,
  `dckr_pat_${drawn('docker', 27)}`,
  `tskey-auth-${drawn('ts', 12)}-${drawn('ts 2', 32)}`,
  `eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ${drawn('jwt', 60)}.${drawn('jwt 2', 43)}`,
  `eyJhbGciOiJSUzI1NiJ9.eyJ${drawn('jwt 3', 90)}.${drawn('jwt 4', 86)}`,
  named('Authorization: Bearer ', drawn('bearer', 40)),
  named('authorization: Basic ', Buffer.from(`ana:${drawn('basic', 16)}`).toString('base64')),
  { value: drawn('hooks', 24), text: `https://hooks.slack.com/services/T0${digits('t', 8)}/B0${digits('b', 8)}/${drawn('hooks', 24)}` },
  named('Cookie: session=', drawn('cookie', 32)),
  { value: drawn('url', 20), text: `postgres://app:${drawn('url', 20)}@db.corp.example/x` },
  { value: drawn('url 2', 20), text: `https://ana:${drawn('url 2', 20)}@git.corp.example/x.git` },
  named('password=', `${drawn('pass', 14)}1!`),
  named('PGPASSWORD=', `${drawn('pass 2', 14)}2`),
  named('--password ', `${drawn('pass 3', 14)}3`),
  named('AccountKey=', `${drawn('azure', 86)}==`),
  named('client_secret: ', `${drawn('client', 30)}4`),
  named('api_key=', `${drawn('key', 30)}5`),
  named('aws_secret_access_key=', `${drawn('aws 3', 39)}6`),
  named('_authToken=', `${drawn('auth', 30)}7`),
  named('X-Api-Key: ', `${drawn('x-api', 30)}8`),
  { value: drawn('pem', 64), text: `-----BEGIN PRIVATE KEY-----\n${drawn('pem', 64)}\n-----END PRIVATE KEY-----` },
]

/** Fifty secrets and fifty values that identify people, in the forms in which they are met. */
export const CANARIES: readonly Canary[] = [
  ...PII.map((value) => ({ class: 'pii' as const, value, text: value })),
  ...SECRETS.map((secret) => ({ class: 'secret' as const, ...(typeof secret === 'string' ? { value: secret, text: secret } : secret) })),
]
