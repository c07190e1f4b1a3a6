import type { Json, JsonObject } from '../../event/json.ts'
import { baseName, fileFields } from '../file-fields.ts'
import { countOf, endpoint, ipOf, listOf, splitAuthority, tlsVersion, urlFields } from '../network-fields.ts'
import { numberOf, oneOrList, some, textOf } from '../shape.ts'

/** A field of a record by its name; undefined where Zeek has no value. */
export type Read = (name: string) => Json | undefined

/** What one of Zeek's logs says beside the connection. */
export interface ZeekLog {
  readonly category?: string
  readonly type?: string
  readonly outcome?: 'success' | 'failure'
  readonly isAlert?: true
  readonly source?: JsonObject | undefined
  readonly destination?: JsonObject | undefined
  readonly network?: JsonObject | undefined
  readonly fields?: Readonly<Record<string, JsonObject | undefined>>
  readonly addresses?: readonly (Json | undefined)[]
  readonly users?: readonly (Json | undefined)[]
  readonly hosts?: readonly (Json | undefined)[]
  readonly hashes?: readonly (Json | undefined)[]
}

/** @param path which log the record is of; of one without a mapping here, the connection is all that is read */
export function zeekLog(path: string, read: Read): ZeekLog {
  const log = Object.hasOwn(LOGS, path) ? LOGS[path]!(read) : {}
  const protocol = Object.hasOwn(PROTOCOLS, path) ? some({ protocol: PROTOCOLS[path] }) : undefined
  return protocol === undefined ? log : { ...log, network: { ...protocol, ...log.network } }
}

/** ECS `network.protocol` of the logs that are about one. */
const PROTOCOLS: Readonly<Record<string, string>> = {
  dns: 'dns',
  http: 'http',
  ssl: 'tls',
  ssh: 'ssh',
  smtp: 'smtp',
  ftp: 'ftp',
  rdp: 'rdp',
  dhcp: 'dhcp',
  ntlm: 'ntlm',
  kerberos: 'kerberos',
  dce_rpc: 'dce_rpc',
  smb_files: 'smb',
  smb_mapping: 'smb',
  quic: 'quic',
}

const LOGS: Readonly<Record<string, (read: Read) => ZeekLog>> = {
  conn: connection,
  dns,
  http,
  ssl,
  files,
  x509,
  notice,
  intel,
  ssh: (read) => ({ category: 'authentication', type: 'start', ...outcomeOf(read('auth_success')) }),
  smb_files: smbFiles,
  smb_mapping: (read) => ({ category: 'file', type: 'access', fields: { file: fileAt(text(read, 'path')) } }),
  kerberos,
  ntlm: (read) => ({
    category: 'authentication',
    type: 'start',
    ...outcomeOf(read('success')),
    fields: { user: some({ name: text(read, 'username'), domain: text(read, 'domainname') }) },
    users: [read('username')],
    hosts: [read('hostname')],
  }),
  rdp: (read) => ({
    category: 'session',
    type: 'start',
    fields: { user: some({ name: text(read, 'cookie') }) },
    users: [read('cookie')],
    hosts: [read('client_name')],
  }),
  ftp: (read) => ({
    type: 'protocol',
    fields: { user: some({ name: text(read, 'user') }), url: urlFields(text(read, 'arg')) },
    users: [read('user')],
  }),
  smtp,
  dhcp: (read) => ({
    type: 'protocol',
    source: endpoint(read('client_addr') ?? read('requested_addr'), undefined, { mac: text(read, 'mac') }),
    destination: endpoint(read('server_addr'), undefined),
    hosts: [read('host_name')],
    addresses: [read('assigned_addr')],
  }),
  weird: (read) => ({ fields: { rule: some({ name: text(read, 'name') }) } }),
}

const text = (read: Read, name: string) => textOf(read(name))

function outcomeOf(value: Json | undefined): Pick<ZeekLog, 'outcome'> {
  if (value === true || value === 'T') return { outcome: 'success' }
  return value === false || value === 'F' ? { outcome: 'failure' } : {}
}

/** An attempt without an answer (`S0`) has not failed: of UDP it is all that one sees. */
const STATES: Readonly<Record<string, 'success' | 'failure'>> = {
  SF: 'success',
  S1: 'success',
  S2: 'success',
  S3: 'success',
  RSTO: 'success',
  RSTR: 'success',
  REJ: 'failure',
  RSTOS0: 'failure',
}

function connection(read: Read): ZeekLog {
  const state = text(read, 'conn_state') ?? ''
  const bytes = [
    countOf(read('orig_ip_bytes')) ?? countOf(read('orig_bytes')),
    countOf(read('resp_ip_bytes')) ?? countOf(read('resp_bytes')),
  ]
  const packets = [countOf(read('orig_pkts')), countOf(read('resp_pkts'))]
  return {
    type: 'connection',
    ...(Object.hasOwn(STATES, state) ? { outcome: STATES[state]! } : {}),
    network: some({ bytes: sum(bytes), packets: sum(packets) }),
  }
}

function sum([a, b]: readonly (number | undefined)[]): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b
}

function dns(read: Read): ZeekLog {
  const name = text(read, 'query')
  const code = text(read, 'rcode_name')
  const answers = listOf(read('answers'))
  const lifetimes = listOf(read('TTLs'))
  const resolved = answers.flatMap((answer) => ipOf(answer) ?? [])
  const flags = ['AA', 'TC', 'RD', 'RA'].filter((flag) => read(flag) === true)
  const refused = read('rejected') === true || (code !== undefined && code !== 'NOERROR')
  return {
    type: 'protocol',
    ...(refused ? { outcome: 'failure' } : code === undefined ? {} : { outcome: 'success' }),
    fields: {
      dns: some({
        id: text(read, 'trans_id'),
        type: code === undefined && answers.length === 0 ? 'query' : 'answer',
        question: some({
          name: name?.replace(/\.$/, ''),
          type: text(read, 'qtype_name'),
          class: text(read, 'qclass_name')?.replace('C_INTERNET', 'IN'),
        }),
        response_code: code,
        header_flags: flags.length === 0 ? undefined : flags,
        answers: answersOf(answers, lifetimes),
        resolved_ip: resolved.length === 0 ? undefined : [...new Set(resolved)],
      }),
    },
    addresses: resolved,
    hosts: [name],
  }
}

function answersOf(answers: readonly Json[], lifetimes: readonly Json[]): JsonObject[] | undefined {
  const items = answers
    .map((answer, at) => some({ data: textOf(answer), ttl: countOf(lifetimes[at]) }))
    .filter((item) => item !== undefined)
  return items.length === 0 ? undefined : items
}

function http(read: Read): ZeekLog {
  const status = numberOf(read('status_code'))
  const method = text(read, 'method')
  const host = text(read, 'host')
  const uri = text(read, 'uri')
  // A CONNECT names where it wants to go; the host is that of the proxy's request.
  const url = method === 'CONNECT' ? urlFields(undefined, uri ?? host) : urlFields(uri, host)
  return {
    category: 'web',
    type: 'access',
    ...(status === undefined ? {} : { outcome: status >= 400 ? 'failure' : 'success' }),
    fields: {
      http: some({
        version: text(read, 'version'),
        request: some({ method, referrer: text(read, 'referrer'), body: some({ bytes: countOf(read('request_body_len')) }) }),
        response: some({
          status_code: status,
          body: some({ bytes: countOf(read('response_body_len')) }),
          mime_type: oneOrList(listOf(read('resp_mime_types')).flatMap((type) => textOf(type) ?? [])),
        }),
      }),
      url,
      user_agent: some({ original: text(read, 'user_agent') }),
      user: some({ name: text(read, 'username') }),
      file: some({ name: oneOrList(listOf(read('resp_filenames')).flatMap((name) => textOf(name) ?? [])) }),
    },
    users: [read('username')],
    hosts: [splitAuthority(host).host],
  }
}

function ssl(read: Read): ZeekLog {
  const established = read('established')
  return {
    type: 'protocol',
    ...outcomeOf(established),
    fields: {
      tls: some({
        ...tlsVersion(read('version')),
        cipher: text(read, 'cipher'),
        curve: text(read, 'curve'),
        next_protocol: text(read, 'next_protocol'),
        established: typeof established === 'boolean' ? established : undefined,
        resumed: typeof read('resumed') === 'boolean' ? read('resumed') : undefined,
        client: some({
          server_name: text(read, 'server_name'),
          subject: text(read, 'client_subject'),
          issuer: text(read, 'client_issuer'),
          ja3: text(read, 'ja3'),
        }),
        server: some({ subject: text(read, 'subject'), issuer: text(read, 'issuer'), ja3s: text(read, 'ja3s') }),
      }),
    },
    hosts: [read('server_name')],
  }
}

const HASHES = ['md5', 'sha1', 'sha256'] as const

function files(read: Read): ZeekLog {
  const name = text(read, 'filename')
  const hash = some(Object.fromEntries(HASHES.map((kind) => [kind, text(read, kind)])))
  return {
    category: 'file',
    type: 'info',
    // Who sent it and who received it, in the versions that tell no connection.
    source: endpoint(listOf(read('tx_hosts'))[0], undefined),
    destination: endpoint(listOf(read('rx_hosts'))[0], undefined),
    network: some({ protocol: text(read, 'source')?.toLowerCase() }),
    fields: {
      file: some({
        name: name === undefined ? undefined : baseName(name),
        size: countOf(read('total_bytes')) ?? countOf(read('seen_bytes')),
        mime_type: text(read, 'mime_type'),
        hash,
      }),
    },
    addresses: [...listOf(read('tx_hosts')), ...listOf(read('rx_hosts'))],
    hashes: Object.values(hash ?? {}),
  }
}

function x509(read: Read): ZeekLog {
  const fingerprint = text(read, 'fingerprint')
  return {
    category: 'file',
    fields: {
      file: some({
        x509: some({
          serial_number: text(read, 'certificate.serial'),
          subject: some({ distinguished_name: text(read, 'certificate.subject') }),
          issuer: some({ distinguished_name: text(read, 'certificate.issuer') }),
          alternative_names: oneOrList(listOf(read('san.dns')).flatMap((name) => textOf(name) ?? [])),
        }),
        hash: some({ sha256: fingerprint }),
      }),
    },
    hashes: [fingerprint],
  }
}

function notice(read: Read): ZeekLog {
  return {
    isAlert: true,
    source: endpoint(read('src') ?? read('id.orig_h'), read('id.orig_p')),
    destination: endpoint(read('dst') ?? read('id.resp_h'), read('p') ?? read('id.resp_p')),
    fields: { rule: some({ name: text(read, 'note'), description: text(read, 'msg') }) },
  }
}

function intel(read: Read): ZeekLog {
  const indicator = read('seen.indicator')
  return {
    isAlert: true,
    category: 'threat',
    type: 'indicator',
    fields: { threat: some({ indicator: some({ name: textOf(indicator), type: text(read, 'seen.indicator_type') }) }) },
    addresses: [ipOf(indicator)],
  }
}

/** What SMB says was done to a file. */
const SMB_TYPES: Readonly<Record<string, string>> = {
  'SMB::FILE_OPEN': 'access',
  'SMB::FILE_READ': 'access',
  'SMB::FILE_WRITE': 'change',
  'SMB::FILE_RENAME': 'change',
  'SMB::FILE_DELETE': 'deletion',
}

function smbFiles(read: Read): ZeekLog {
  const share = text(read, 'path')?.replace(/\\$/, '')
  const name = text(read, 'name')
  const action = text(read, 'action') ?? ''
  return {
    category: 'file',
    type: Object.hasOwn(SMB_TYPES, action) ? SMB_TYPES[action]! : 'access',
    fields: {
      file: some({
        ...fileAt(share === undefined || name === undefined ? (name ?? share) : `${share}\\${name}`),
        size: countOf(read('size')),
      }),
    },
  }
}

const fileAt = (path: string | undefined) => (path === undefined ? undefined : fileFields([path]))

function kerberos(read: Read): ZeekLog {
  // `ana/CORP.EXAMPLE`
  const [name, domain] = text(read, 'client')?.split('/') ?? []
  return {
    category: 'authentication',
    type: 'start',
    ...outcomeOf(read('success')),
    fields: { user: some({ name, domain }), error: some({ code: text(read, 'error_msg') }) },
    users: [name],
  }
}

function smtp(read: Read): ZeekLog {
  const addresses = (name: string) => oneOrList(listOf(read(name)).flatMap((item) => textOf(item) ?? []))
  const from = addresses('mailfrom') ?? addresses('from')
  const to = addresses('rcptto') ?? addresses('to')
  return {
    category: 'email',
    type: 'info',
    fields: {
      email: some({
        from: some({ address: from }),
        to: some({ address: to }),
        subject: text(read, 'subject'),
        message_id: text(read, 'msg_id'),
      }),
      user_agent: some({ original: text(read, 'user_agent') }),
    },
  }
}
