import { isObject, type Json, type JsonObject } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { baseName, fileFields } from './file-fields.ts'
import { countOf, ipOf, listOf, splitAuthority, tlsVersion, urlFields } from './network-fields.ts'
import { numberOf, oneOrList, some, textOf } from './shape.ts'

/** What a record's own part says, beside its addresses and its flow. */
export interface SuricataEvent {
  readonly kind?: string
  readonly category?: string
  readonly types?: string[]
  readonly outcome?: 'success' | 'failure'
  readonly severity?: number | undefined
  readonly protocol?: string
  readonly fields?: Readonly<Record<string, JsonObject | undefined>>
  readonly addresses?: readonly (Json | undefined)[]
  readonly users?: readonly (Json | undefined)[]
  readonly hosts?: readonly (Json | undefined)[]
  readonly hashes?: readonly (Json | undefined)[]
}

const NOTHING: JsonObject = {}

/** An object of a record, by its name; an empty one where it has none. */
export function partOf(record: JsonObject, name: string): JsonObject {
  const part = Object.hasOwn(record, name) ? record[name] : undefined
  return isObject(part) ? part : NOTHING
}

/**
 * Reads the parts of a record. Those of an alert are the parts of the traffic that it is about, so every part is read that is there;
 * what the record is follows from its type alone.
 */
export function suricataEvent(type: string, record: JsonObject): SuricataEvent {
  const parts = Object.keys(PARTS)
    .filter((name) => isObject(record[name]) || Array.isArray(record[name]))
    .map((name) => PARTS[name]!(partOf(record, name)))
  const own = Object.hasOwn(TYPES, type) ? TYPES[type]!(record) : {}
  const fields: Record<string, JsonObject | undefined> = {}
  for (const part of [...parts, own]) Object.assign(fields, part.fields)
  const all = (name: 'addresses' | 'users' | 'hosts' | 'hashes') => parts.flatMap((part) => part[name] ?? [])
  const protocol = parts.find((part) => part.protocol !== undefined)?.protocol
  return {
    ...own,
    ...(protocol === undefined ? {} : { protocol }),
    fields,
    addresses: all('addresses'),
    users: all('users'),
    hosts: all('hosts'),
    hashes: all('hashes'),
  }
}

/** What a record of a type is. */
const TYPES: Readonly<Record<string, (record: JsonObject) => SuricataEvent>> = {
  alert,
  flow: (record) => ({ types: ['connection', 'end'], ...(stateOf(record) === 'new' ? {} : { outcome: 'success' }) }),
  netflow: () => ({ types: ['connection'] }),
  dns: (record) => ({ types: ['protocol'], ...dnsOutcome(partOf(record, 'dns')) }),
  tls: () => ({ types: ['protocol'], outcome: 'success' }),
  http: (record) => ({ category: 'web', types: ['access', 'protocol'], ...httpOutcome(partOf(record, 'http')) }),
  fileinfo: () => ({ category: 'file', types: ['info'] }),
  smb: () => ({ category: 'file', types: ['access'] }),
  drop: () => ({ types: ['denied'], outcome: 'failure' }),
  krb5: (record) => ({
    category: 'authentication',
    types: ['start'],
    outcome: textOf(partOf(record, 'krb5').error_code) === undefined ? 'success' : 'failure',
  }),
  anomaly: () => ({ types: ['protocol', 'error'] }),
  stats: () => ({ kind: 'metric' }),
  smtp: () => ({ category: 'email', types: ['info'] }),
}

const PARTS: Readonly<Record<string, (part: JsonObject) => SuricataEvent>> = {
  dns,
  tls,
  http,
  fileinfo,
  smb,
  krb5: ({ cname, realm }) => ({
    protocol: 'krb5',
    fields: { user: some({ name: textOf(cname), domain: textOf(realm) }) },
    users: [cname],
  }),
  rdp: ({ cookie }) => ({ protocol: 'rdp', fields: { user: some({ name: textOf(cookie) }) }, users: [cookie] }),
  ssh: (part) => ({ protocol: 'ssh', fields: { user_agent: some({ original: textOf(partOf(part, 'client').software_version) }) } }),
  email: (part) => ({
    fields: {
      email: some({
        from: some({ address: textOf(part.from) }),
        to: some({ address: texts(part.to) }),
        subject: textOf(part.subject),
        message_id: textOf(part.message_id),
      }),
    },
  }),
}

function texts(value: Json | undefined): string | string[] | undefined {
  return oneOrList(listOf(value).flatMap((item) => textOf(item) ?? []))
}

function alert(record: JsonObject): SuricataEvent {
  const part = partOf(record, 'alert')
  const blocked = part.action === 'blocked'
  return {
    kind: 'alert',
    category: 'intrusion_detection',
    types: ['info', blocked ? 'denied' : 'allowed'],
    outcome: blocked ? 'failure' : 'success',
    severity: numberOf(part.severity),
    fields: {
      rule: some({
        id: textOf(part.signature_id),
        name: textOf(part.signature),
        category: textOf(part.category),
        version: textOf(part.rev),
      }),
    },
  }
}

const stateOf = (record: JsonObject) => textOf(partOf(record, 'flow').state)

/** The records that an answer lists: `answers` since version 2, one a record before. */
function answersOf(part: JsonObject): readonly JsonObject[] {
  const listed = [...listOf(part.answers), ...listOf(part.answer)].filter(isObject)
  return listed.length > 0 || part.rdata === undefined ? listed : [part]
}

/** The names asked for: in `queries` (version 3) or `query` (within alerts), else beside the answer. */
function questionsOf(part: JsonObject): readonly JsonObject[] {
  const listed = [...listOf(part.queries), ...listOf(part.query)].filter(isObject)
  if (listed.length > 0) return listed
  if (part.rrname !== undefined) return [part]
  return listOf(part.answer).filter(isObject)
}

function isAnswer(part: JsonObject): boolean {
  return part.type === 'answer' || part.type === 'response' || part.rcode !== undefined
}

function dnsOutcome(part: JsonObject): Pick<SuricataEvent, 'outcome'> {
  const code = textOf(part.rcode)
  if (!isAnswer(part) || code === undefined) return {}
  return { outcome: code === 'NOERROR' || code === '0' ? 'success' : 'failure' }
}

function dns(part: JsonObject): SuricataEvent {
  const questions = questionsOf(part)
  const names = questions.flatMap((question) => textOf(question.rrname)?.replace(/\.$/, '') ?? [])
  const answers = answersOf(part)
  const grouped = partOf(part, 'grouped')
  const addresses = [...answers.map(({ rdata }) => rdata), ...listOf(grouped.A), ...listOf(grouped.AAAA)].flatMap(
    (data) => ipOf(data) ?? [],
  )
  const listed = answers
    .map(({ rrname, rrtype, ttl, rdata }) => some({ name: textOf(rrname), type: textOf(rrtype), ttl: countOf(ttl), data: textOf(rdata) }))
    .filter((answer) => answer !== undefined)
  const flags = (['aa', 'tc', 'rd', 'ra'] as const).filter((flag) => part[flag] === true).map((flag) => flag.toUpperCase())
  return {
    protocol: 'dns',
    fields: {
      dns: some({
        id: textOf(part.id),
        type: isAnswer(part) ? 'answer' : 'query',
        question: some({ name: oneOrList(names), type: oneOrList(questions.flatMap(({ rrtype }) => textOf(rrtype) ?? [])) }),
        response_code: textOf(part.rcode),
        header_flags: flags.length === 0 ? undefined : flags,
        answers: listed.length === 0 ? undefined : listed,
        resolved_ip: addresses.length === 0 ? undefined : [...new Set(addresses)],
      }),
    },
    addresses,
    hosts: names,
  }
}

function tls(part: JsonObject): SuricataEvent {
  const fingerprint = textOf(part.fingerprint)?.replaceAll(':', '').toLowerCase()
  return {
    protocol: 'tls',
    fields: {
      tls: some({
        ...tlsVersion(part.version),
        resumed: typeof part.session_resumed === 'boolean' ? part.session_resumed : undefined,
        client: some({ server_name: textOf(part.sni), ja3: textOf(partOf(part, 'ja3').hash) }),
        server: some({
          subject: textOf(part.subject),
          issuer: textOf(part.issuerdn),
          not_before: dateOf(part.notbefore),
          not_after: dateOf(part.notafter),
          ja3s: textOf(partOf(part, 'ja3s').hash),
          hash: some({ sha1: fingerprint }),
        }),
      }),
    },
    hosts: [part.sni],
    hashes: [fingerprint],
  }
}

function dateOf(value: Json | undefined): string | undefined {
  const time = parseTime(value)
  return time === null ? undefined : formatTime(time)
}

function httpOutcome({ status }: JsonObject): Pick<SuricataEvent, 'outcome'> {
  const code = numberOf(status)
  return code === undefined ? {} : { outcome: code >= 400 ? 'failure' : 'success' }
}

function http(part: JsonObject): SuricataEvent {
  const host = textOf(part.hostname)
  const method = textOf(part.http_method)
  const url = textOf(part.url)
  return {
    protocol: 'http',
    fields: {
      http: some({
        version: textOf(part.protocol)?.replace(/^HTTP\//i, ''),
        request: some({ method, referrer: textOf(part.http_refer) }),
        response: some({
          status_code: numberOf(part.status),
          body: some({ bytes: countOf(part.length) }),
          mime_type: textOf(part.http_content_type),
        }),
      }),
      // A CONNECT names where it wants to go; the host is that of the proxy's request.
      url: method === 'CONNECT' ? urlFields(undefined, url ?? host) : urlFields(url, host),
      user_agent: some({ original: textOf(part.http_user_agent) }),
    },
    hosts: [splitAuthority(host).host],
  }
}

function fileinfo(part: JsonObject): SuricataEvent {
  const name = textOf(part.filename)
  const hash = some({ md5: textOf(part.md5), sha1: textOf(part.sha1), sha256: textOf(part.sha256) })
  return {
    fields: {
      file: some({
        name: name === undefined ? undefined : baseName(name),
        size: countOf(part.size),
        mime_type: textOf(part.mimetype),
        hash,
      }),
    },
    hashes: Object.values(hash ?? {}),
  }
}

function smb(part: JsonObject): SuricataEvent {
  const share = textOf(part.share)?.replace(/\\$/, '')
  const name = textOf(part.filename)
  const path = share === undefined || name === undefined ? name : `${share}\\${name}`
  const { user, domain, host } = partOf(part, 'ntlmssp')
  return {
    protocol: 'smb',
    fields: {
      ...(path === undefined ? {} : { file: fileFields([path]) }),
      ...(user === undefined ? {} : { user: some({ name: textOf(user), domain: textOf(domain) }) }),
    },
    users: [user],
    hosts: [host],
  }
}
