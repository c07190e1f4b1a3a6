import type { Finding } from './kind.ts'

const LONGEST_LOCAL = 64
const LONGEST_DOMAIN = 254
/** What may stand before the @, as far as people use it: `=` and `/` belong to what an address is written in. */
const LOCAL = /[\p{L}\p{N}_][\p{L}\p{N}_.+'-]*$/u
const DOMAIN = /^(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.){1,8}(?:xn--[a-z0-9-]{2,60}|\p{L}{2,24})/u
/** Written like addresses: units of systemd, images for fine screens, algorithms of SSH, repositories. */
const NO_DOMAIN =
  /\.(?:service|socket|timer|mount|automount|slice|scope|target|path|swap|device|png|jpe?g|gif|svg|webp|js|ts|css|json)$|^(?:openssh\.com|libssh\.org)$/i
const NO_PERSON = 'git'

/** E-mail addresses. The way from each @ is bounded, so that a text of them alone takes no longer than another. */
export function* findEmails(text: string): Generator<Finding> {
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    const domain = DOMAIN.exec(text.slice(at + 1, at + 1 + LONGEST_DOMAIN))?.[0]
    if (domain === undefined || NO_DOMAIN.test(domain)) continue
    const local = LOCAL.exec(text.slice(Math.max(0, at - LONGEST_LOCAL), at))?.[0]
    if (local === undefined || local === NO_PERSON) continue
    yield { kind: 'email', start: at - local.length, end: at + 1 + domain.length, value: `${local}@${domain}`.toLowerCase() }
  }
}

/** The address, in lower case, if the text is one and nothing else. */
export function wholeEmail(text: string): string | undefined {
  const [found] = findEmails(text)
  return found?.start === 0 && found.end === text.length ? found.value : undefined
}
