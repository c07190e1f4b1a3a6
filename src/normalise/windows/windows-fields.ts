import { isIP } from 'node:net'
import type { Json, JsonObject } from '../../event/json.ts'
import { baseName, fileFields } from '../file-fields.ts'
import { entryOf, numberOf, some, textOf } from '../shape.ts'
import { actOf, isSysmon } from './windows-acts.ts'
import type { WindowsRecord } from './windows-record.ts'

type Fields = Readonly<Record<string, JsonObject | undefined>>

/** What a Windows event says in ECS, beside its `event.*`: what Sysmon and the Security log name, and whatever else shares their names. */
export function windowsFields(record: WindowsRecord): Fields {
  const { provider, channel, id, computer, recordId } = record
  // These two write about others: who logged the event is the sensor.
  const loggedBy = isSysmon(record) || channel?.toLowerCase() === 'security' ? NOBODY : record.loggedBy
  const value = reader(record.native)
  const act = actOf(record)
  const users = usersOf(value, act.target, act.isLogon, loggedBy)
  const hashes = hashesOf(value)
  const network = networkOf(value)
  const dns = dnsOf(value)
  const addresses = [network.source?.ip, network.destination?.ip, ...(dns?.resolved_ip ?? [])]
  return {
    host: some({ name: computer, os: { type: 'windows' } }),
    process: processOf(value, act.isProcessStart ? hashes : undefined, loggedBy),
    file: fileOf(value, act.isProcessStart ? undefined : hashes),
    dll:
      act.category === 'library' ? some({ path: value('ImageLoaded'), name: nameOf(value('ImageLoaded')), hash: hashes?.hash }) : undefined,
    registry: registryOf(value),
    user: users.user,
    source: some(network.source ?? {}),
    destination: some(network.destination ?? {}),
    network: network.network,
    dns: dns === undefined ? undefined : some({ ...dns }),
    service: some({ name: value('ServiceName') }),
    rule: some({ name: value('RuleName') }),
    error: some({ code: act.outcome === 'failure' ? value('Status', 'FailureCode', 'ErrorCode') : undefined }),
    winlog: some({
      channel,
      event_id: id,
      provider_name: provider,
      computer_name: computer,
      record_id: recordId,
      logon: some({ id: value('TargetLogonId', 'LogonId', 'SubjectLogonId'), type: value('LogonType') }),
    }),
    related: some({
      user: listOf(users.identities),
      ip: listOf(addresses),
      hosts: listOf([computer]),
      hash: listOf(Object.values(hashes?.hash ?? {}).map(textOf)),
    }),
  }
}

const NOBODY = { pid: undefined, userId: undefined }

type Reader = (...names: readonly string[]) => string | undefined

/** The first of these fields that has a value: Sysmon writes `-` for none. Where a name came twice, the first counts. */
function reader(native: JsonObject): Reader {
  return (...names) => {
    for (const name of names) {
      const field = Object.hasOwn(native, name) ? native[name] : undefined
      const value = textOf(Array.isArray(field) ? field[0] : field)?.trim()
      if (value !== undefined && value !== '' && value !== '-' && value !== 'N/A') return value
    }
    return undefined
  }
}

function listOf(values: readonly (string | undefined)[]): string[] | undefined {
  const distinct = new Set(values.filter((value) => value !== undefined))
  return distinct.size === 0 ? undefined : [...distinct]
}

const nameOf = (path: string | undefined) => (path === undefined ? undefined : baseName(path))

/** Decimal, or hexadecimal as the Security log writes process ids. */
function integer(text: string | undefined): number | undefined {
  const number = numberOf(text)
  return number !== undefined && Number.isSafeInteger(number) && number >= 0 ? number : undefined
}

function processOf(value: Reader, hashes: Hashes | undefined, { pid }: WindowsRecord['loggedBy']): JsonObject | undefined {
  // Event 4688 tells of a new process, whose creator is the one that the other events of the Security log are about.
  const created = value('NewProcessName') !== undefined
  const executable = created ? value('NewProcessName') : value('Image', 'SourceImage', 'ProcessName', 'Application')
  const parent = created ? value('ParentProcessName', 'ProcessName') : value('ParentImage')
  return some({
    entity_id: value('ProcessGuid', 'SourceProcessGUID', 'SourceProcessGuid'),
    pid: integer(created ? value('NewProcessId') : value('ProcessId', 'SourceProcessId', 'ProcessID')) ?? integer(pid),
    executable,
    name: nameOf(executable),
    command_line: value('CommandLine', 'ProcessCommandLine'),
    working_directory: value('CurrentDirectory'),
    parent: some({
      entity_id: value('ParentProcessGuid'),
      pid: integer(created ? value('ProcessId') : value('ParentProcessId')),
      executable: parent,
      name: nameOf(parent),
      command_line: value('ParentCommandLine'),
    }),
    hash: hashes?.hash,
    pe: hashes === undefined ? undefined : peOf(value, hashes),
  })
}

function peOf(value: Reader, { imphash }: Hashes): JsonObject | undefined {
  return some({
    imphash,
    original_file_name: value('OriginalFileName'),
    file_version: value('FileVersion'),
    description: value('Description'),
    product: value('Product'),
    company: value('Company'),
  })
}

function fileOf(value: Reader, hashes: Hashes | undefined): JsonObject | undefined {
  const object = value('ObjectType') === 'File' ? value('ObjectName') : undefined
  const path = value('TargetFilename', 'ImageLoaded', 'ImagePath', 'ServiceFileName') ?? object
  const pipe = value('PipeName')
  const fields = path === undefined ? some({ name: pipe }) : fileFields([path])
  const share = value('RelativeTargetName')
  return some({
    ...(fields ?? some({ path: share, name: nameOf(share) })),
    hash: path === undefined ? undefined : hashes?.hash,
    pe: path === undefined || hashes === undefined ? undefined : peOf(value, hashes),
  })
}

function registryOf(value: Reader): JsonObject | undefined {
  const key = value('ObjectType') === 'Key' ? value('ObjectName') : undefined
  const valueName = value('ObjectValueName')
  const path = value('TargetObject') ?? (key !== undefined && valueName !== undefined ? `${key}\\${valueName}` : key)
  if (path === undefined) return undefined
  const data = value('Details', 'NewValue')
  return some({ path, value: nameOf(path), data: some({ strings: data === undefined ? undefined : [data] }) })
}

interface Hashes {
  readonly hash: JsonObject
  readonly imphash: string | undefined
}

const DIGESTS = new Set(['md5', 'sha1', 'sha256', 'sha512'])

/** Sysmon's `SHA256=…,IMPHASH=…`. */
function hashesOf(value: Reader): Hashes | undefined {
  const text = value('Hashes', 'Hash')
  if (text === undefined || text.length > 4096) return undefined
  const hash: JsonObject = {}
  let imphash: string | undefined
  for (const part of text.split(',')) {
    const [kind = '', digest = ''] = part.trim().toLowerCase().split('=')
    if (!/^[0-9a-f]+$/.test(digest)) continue
    if (DIGESTS.has(kind)) hash[kind] = digest
    else if (kind === 'imphash') imphash = digest
  }
  return Object.keys(hash).length === 0 && imphash === undefined ? undefined : { hash, imphash }
}

/** An account, as `DOMAIN\name` or in fields of its own. */
interface Account {
  readonly id: string | undefined
  readonly name: string | undefined
  readonly domain: string | undefined
}

/**
 * Whose act it was. Sysmon says `User`; the Security log a subject and, where an account is what the event is about, a target: of a
 * logon that is the user, otherwise the one to whom something is done.
 */
function usersOf(value: Reader, target: boolean, isLogon: boolean, { userId }: WindowsRecord['loggedBy']) {
  const [domain, name] = splitAccount(value('User', 'SourceUser'))
  const subject: Account = {
    id: value('SubjectUserSid'),
    name: value('SubjectUserName') ?? name,
    domain: value('SubjectDomainName') ?? domain,
  }
  const other: Account = {
    id: value('TargetUserSid', 'TargetSid'),
    name: value('TargetUserName', 'AccountName'),
    domain: value('TargetDomainName', 'AccountDomain'),
  }
  const known = ({ name, id }: Account) => name !== undefined || (id !== undefined && id !== 'S-1-0-0')
  const actor = (isLogon && known(other)) || !known(subject) ? other : subject
  const isKnown = known(actor)
  const id = isKnown ? actor.id : userId
  const done = target && actor === subject && known(other) ? other : undefined
  return {
    user: some({
      id,
      name: actor.name,
      domain: actor.domain,
      target: done === undefined ? undefined : some({ ...done }),
    }),
    identities: [subject.name, other.name, id, done?.id],
  }
}

function splitAccount(text: string | undefined): readonly [domain: string | undefined, name: string | undefined] {
  const at = text?.indexOf('\\') ?? -1
  return text === undefined || at < 0 ? [undefined, text] : [text.slice(0, at) || undefined, text.slice(at + 1) || undefined]
}

/** IANA protocol numbers, as the filtering platform writes them. */
const PROTOCOLS: Readonly<Record<string, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp' }

interface Side {
  readonly [field: string]: Json | undefined
  readonly ip: string | undefined
}

function networkOf(value: Reader): { source: Side | undefined; destination: Side | undefined; network: JsonObject | undefined } {
  const source = sideOf(value('SourceIp', 'SourceAddress', 'IpAddress', 'ClientAddress'), value('SourcePort', 'IpPort', 'ClientPort'))
  const destination = sideOf(value('DestinationIp', 'DestAddress'), value('DestinationPort', 'DestPort'))
  const protocol = value('Protocol')?.toLowerCase()
  const ip = destination?.ip ?? source?.ip
  const connection = destination?.ip !== undefined
  return {
    source: source === undefined ? undefined : { ...source, domain: value('WorkstationName', 'Workstation') },
    destination,
    network: connection
      ? some({
          transport: entryOf(PROTOCOLS, protocol) ?? protocol,
          type: ip === undefined ? undefined : isIP(ip) === 6 ? 'ipv6' : 'ipv4',
          direction: directionOf(value('Initiated')?.toLowerCase() ?? value('Direction')),
        })
      : undefined,
  }
}

/** Sysmon says who initiated; the filtering platform has two message numbers. */
function directionOf(word: string | undefined): string | undefined {
  if (word === 'true' || word === '%%14593') return 'egress'
  return word === 'false' || word === '%%14592' ? 'ingress' : undefined
}

/** Only an address is one: the logs also write names and `LOCAL` into these fields. */
function sideOf(address: string | undefined, port: string | undefined): Side | undefined {
  const bare = address?.replace(/^::ffff:(?=\d+\.)/i, '')
  const ip = bare !== undefined && isIP(bare) !== 0 ? bare : undefined
  const number = integer(port)
  if (bare === undefined) return undefined
  return { ip, address: bare, port: number === 0 || (number ?? 0) > 65_535 ? undefined : number }
}

const DNS_TYPES: Readonly<Record<string, string>> = {
  1: 'A',
  2: 'NS',
  5: 'CNAME',
  6: 'SOA',
  12: 'PTR',
  15: 'MX',
  16: 'TXT',
  28: 'AAAA',
  33: 'SRV',
  65: 'HTTPS',
  255: 'ANY',
}

/** Sysmon's answer to a query: `type:  5 name.example;::ffff:192.0.2.1;`. */
function dnsOf(value: Reader): { readonly question: JsonObject | undefined; readonly resolved_ip: string[] | undefined } | undefined {
  const name = value('QueryName', 'QNAME')
  if (name === undefined) return undefined
  const results = value('QueryResults') ?? ''
  const parts = results.length > 65_536 ? [] : results.split(';').map((part) => part.trim().replace(/^::ffff:(?=\d+\.)/i, ''))
  const resolved = parts.filter((part) => isIP(part) !== 0)
  const type = textOf(value('QueryType', 'QTYPE'))
  return {
    question: some({ name: name.replace(/\.$/, ''), type: entryOf(DNS_TYPES, type) ?? type }),
    resolved_ip: resolved.length === 0 ? undefined : [...new Set(resolved)],
  }
}
