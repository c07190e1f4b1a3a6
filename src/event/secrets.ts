/*
 * What this process has read as a secret it never says: whoever reads one or is given one leaves it here, and whatever is kept, logged or shown of what
 * strangers wrote goes through withoutSecrets. One set for the process, for a secret is one wherever its text comes by.
 */

/** Shorter ones stand in ordinary words; to look for them would make everything unreadable. */
const SHORTEST = 8
/** Characters in a row that encodings leave as they are (RFC 3986 section 2.3): so many of a secret are as good as the secret. */
const LONG = 16
const RUN = new RegExp(`[\\w.~-]{${LONG},}`, 'g')
/** Tokens that were issued lately: a sign-in for each step must not fill the memory. */
const MOST_ISSUED = 64

const read = new Map<string, readonly string[]>()
const issued = new Map<string, readonly string[]>()

/** Remembers a secret of the configuration for good, and returns it. */
export function rememberSecret(secret: string): string {
  if (secret.length >= SHORTEST && !read.has(secret)) read.set(secret, formsOf(secret))
  return secret
}

/** Remembers a credential that was issued, until many later ones were, and returns it. */
export function rememberIssued(token: string): string {
  if (token.length < SHORTEST || read.has(token)) return token
  const forms = issued.get(token) ?? formsOf(token)
  issued.delete(token)
  issued.set(token, forms)
  for (const oldest of issued.keys()) {
    if (issued.size <= MOST_ISSUED) break
    issued.delete(oldest)
  }
  return token
}

/** Remembers what of a web address may be a secret: webhooks have theirs in the path or the query. */
export function rememberAddress(url: string): void {
  const { protocol, pathname, search, password } = new URL(url)
  if (protocol !== 'https:' && protocol !== 'http:') return
  for (const [run] of decodeURIComponent(`${pathname} ${search} ${password}`).matchAll(RUN)) rememberSecret(run)
}

/**
 * The text with `[secret]` in the place of every word that has a secret in it, as it is or encoded: for URLs, forms, JSON or HTML, or in base64.
 *
 * @param also what is no secret elsewhere, as it is: too short for that, or another's
 */
export function withoutSecrets(text: string, also: readonly string[] = []): string {
  let clean = text
  for (const known of [read, issued])
    for (const forms of known.values()) for (const form of forms) if (clean.includes(form)) clean = masked(clean, form)
  return also.reduce((rest, secret) => rest.replaceAll(secret, '[secret]'), clean)
}

/** A value of JSON's kinds with every text in it so. */
export function valueWithoutSecrets<T>(value: T): T {
  return mapped(value) as T
}

function mapped(value: unknown): unknown {
  if (typeof value === 'string') return withoutSecrets(value)
  if (Array.isArray(value)) return value.map(mapped)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, mapped(item)]))
}

/** What is looked for: the secret and its long runs, plain and in base64 wherever they stand in what was encoded. */
function formsOf(secret: string): readonly string[] {
  const whole = secret.includes('\n') ? [] : [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]
  const runs = secret.match(RUN) ?? []
  // The beginning, too: what is repeated may be cut.
  const plain = new Set([...whole, ...runs, ...runs.map((run) => run.slice(0, LONG))])
  return [...new Set([...plain, ...[...plain].flatMap(inBase64)])]
}

/** The part of its base64 that is the same whatever stands before and after it, for each number of bytes before. */
function inBase64(text: string): readonly string[] {
  return [0, 1, 2].flatMap((before) => {
    const encoded = Buffer.from(`${'-'.repeat(before)}${text}`)
      .toString('base64')
      .replace(/=+$/, '')
    const own = encoded.slice(before === 0 ? 0 : 4, -2)
    return own.length < SHORTEST ? [] : [own, own.replaceAll('+', '-').replaceAll('/', '_')]
  })
}

/** Ends of a word, in prose, JSON, HTML and forms. */
const BEFORE = /[^\s"'`<>\\,;(){}[\]&?=]*$/
const AFTER = /^[^\s"'`<>\\,;(){}[\]&?]*/
/** Longest part of a word beside the secret in it. */
const REACH = 512

function masked(text: string, form: string): string {
  let clean = ''
  let rest = text
  for (let at = rest.indexOf(form); at >= 0; at = rest.indexOf(form)) {
    const [before = ''] = BEFORE.exec(rest.slice(Math.max(0, at - REACH), at)) ?? []
    const end = at + form.length
    const [after = ''] = AFTER.exec(rest.slice(end, end + REACH)) ?? []
    clean += `${rest.slice(0, at - before.length)}[secret]`
    rest = rest.slice(end + after.length)
  }
  return clean + rest
}
