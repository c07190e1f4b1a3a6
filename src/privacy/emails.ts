import type { Finding } from './kind.ts'

const LONGEST_LOCAL = 64
/** What may stand before the @, as far as people use it: `=` and `/` belong to what an address is written in. */
const LOCAL = /[\p{L}\p{N}_.+'-]/u
const LOCAL_START = /[\p{L}\p{N}_]/u
const DOMAIN = /(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.){1,8}(?:xn--[a-z0-9-]{2,60}|\p{L}{2,24})/uy
/** Written like addresses: units of systemd, images for fine screens, algorithms of SSH, repositories. */
const NO_DOMAIN =
  /\.(?:service|socket|timer|mount|automount|slice|scope|target|path|swap|device|png|jpe?g|gif|svg|webp|js|ts|css|json)$|^(?:openssh\.com|libssh\.org)$/i
const NO_PERSON = 'git'

/** E-mail addresses. The way from each @ is bounded, so that a text of them alone takes no longer than another. */
export function* findEmails(text: string): Generator<Finding> {
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    const start = localStart(text, at)
    if (start === at) continue
    DOMAIN.lastIndex = at + 1
    const domain = DOMAIN.exec(text)?.[0]
    if (domain === undefined || NO_DOMAIN.test(domain)) continue
    const local = text.slice(start, at)
    if (local !== NO_PERSON) yield { kind: 'email', start, end: at + 1 + domain.length, value: `${local}@${domain}`.toLowerCase() }
  }
}

/** Where what stands before the @ begins; at the @, if nothing does. */
function localStart(text: string, end: number): number {
  let start = end
  for (let at = end; at > 0 && end - at < LONGEST_LOCAL; ) {
    const width = isLowSurrogate(text.charCodeAt(at - 1)) ? 2 : 1
    const character = text.slice(at - width, at)
    if (!LOCAL.test(character)) break
    at -= width
    if (LOCAL_START.test(character)) start = at
  }
  return start
}

const isLowSurrogate = (code: number) => code >> 10 === 0x37

/** The address, in lower case, if the text is one and nothing else. */
export function wholeEmail(text: string): string | undefined {
  const [found] = findEmails(text)
  return found?.start === 0 && found.end === text.length ? found.value : undefined
}
