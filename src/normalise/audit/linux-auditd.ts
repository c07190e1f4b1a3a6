import { isIP } from 'node:net'
import { CordonError } from '../../event/error.ts'
import type { Draft, LogSource } from '../../event/event.ts'
import { isObject, type Json, type JsonObject } from '../../event/json.ts'
import { formatTime } from '../../event/time.ts'
import { baseName, fileFields, joinPath } from '../file-fields.ts'
import type { Normaliser } from '../normaliser.ts'
import { ECS_VERSION, numberOf, some, textOf } from '../shape.ts'
import { decodeSocketAddress, type SocketAddress } from './audit-address.ts'
import { auditFramer, stampTime } from './audit-framer.ts'
import { addField } from './audit-line.ts'
import { errorName, syscallName } from './audit-syscalls.ts'

const STAMP = /^\d{1,12}\.\d{1,9}:\d{1,20}$/

/** The Linux kernel's audit log, as auditd writes it (raw or enriched). A record is one event: `{stamp, node?, records: [{type, …}, …]}`. */
export const linuxAuditd: Normaliser = {
  name: 'linux.auditd',
  title: 'Linux kernel audit',
  framer: auditFramer,
  recognises: (record) => typeof record.stamp === 'string' && STAMP.test(record.stamp) && Array.isArray(record.records),
  normalise(record) {
    const { stamp, node, records } = record
    if (typeof stamp !== 'string' || !STAMP.test(stamp) || !Array.isArray(records) || records.length === 0 || !records.every(isObject)) {
      throw new CordonError('AUDIT_INVALID', 'not an audit event: expected {stamp: "seconds.millis:serial", records: [{type, …}]}', {
        hint: 'send the lines of audit.log as they are; Cordon groups them',
      })
    }
    return [draftOf(stamp, textOf(node), records, record)]
  },
}

/** What an audit event says, record type by record type. */
interface AuditEvent {
  readonly type: string
  /** The record that names the acting process: SYSCALL, or the one record of an event that a program wrote. */
  readonly main: JsonObject
  readonly syscall: string | undefined
  readonly paths: readonly JsonObject[]
  readonly cwd: string | undefined
  readonly execve: JsonObject | undefined
  readonly title: readonly string[] | undefined
  readonly address: SocketAddress | undefined
  readonly openFlags: number | undefined
}

/** What one kind of event adds: its class, its log source categories, and fields of its own. */
interface Act {
  readonly category?: string
  readonly type?: string
  readonly logsource?: readonly string[]
  readonly fields?: Readonly<Record<string, JsonObject | undefined>>
}

function draftOf(stamp: string, node: string | undefined, records: readonly JsonObject[], record: JsonObject): Draft {
  const event = readEvent(records)
  const { main } = event
  const outcome = outcomeOf(event)
  const act = actOf(event, outcome)
  const time = stampTime(stamp)
  const user = userOf(event)
  const keys = keysOf(main)
  const ecs: JsonObject = {
    '@timestamp': formatTime(time),
    ecs: { version: ECS_VERSION },
    event: some({
      kind: 'event',
      category: act.category === undefined ? undefined : [act.category],
      type: act.type === undefined ? undefined : [act.type],
      action: event.syscall ?? event.type.toLowerCase(),
      outcome,
      code: event.type,
      dataset: 'linux.auditd',
      sequence: Number(stamp.slice(stamp.indexOf(':') + 1)),
    })!,
    host: some({ name: node, os: { type: 'linux' } })!,
  }
  const fields: Record<string, Json | undefined> = {
    process: processOf(event, outcome),
    user,
    error: some({ code: outcome === 'failure' ? errorName(text(main, 'exit') ?? '') : undefined }),
    tags: keys.length === 0 ? undefined : keys,
    related: some({ user: listed([user?.name, user?.id]) }),
    ...act.fields,
  }
  for (const name in fields) if (fields[name] !== undefined) ecs[name] = fields[name]
  return {
    producerId: `${node ?? ''}:${stamp}:${event.type}`,
    time,
    logsource: tagsOf(act.logsource ?? []),
    ecs,
    native: nativeOf(record, records),
  }
}

function listed(values: readonly (Json | undefined)[]): Json[] | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? undefined : known
}

function tagsOf(categories: readonly string[]): readonly LogSource[] {
  if (categories.length === 0) return [{ product: 'linux', service: 'auditd' }]
  return categories.map((category) => ({ product: 'linux', category, service: 'auditd' }))
}

/** The fields of all records in one map, as rules for `service: auditd` name them; a field of several records is a list. */
function nativeOf(record: JsonObject, records: readonly JsonObject[]): JsonObject {
  const native: JsonObject = {}
  for (const item of records) {
    for (const name in item) {
      const value = item[name]!
      for (const element of Array.isArray(value) ? value : [value]) addField(native, name, Array.isArray(element) ? [...element] : element)
    }
  }
  for (const name in record) {
    const value = record[name]!
    if (name !== 'records') addField(native, name, Array.isArray(value) ? [...value] : value)
  }
  return native
}

function readEvent(records: readonly JsonObject[]): AuditEvent {
  const one = (type: string) => records.find((item) => item.type === type)
  const syscallRecord = one('SYSCALL')
  const main = syscallRecord ?? records[0]!
  const title = text(one('PROCTITLE'), 'proctitle')
  const saddr = text(one('SOCKADDR'), 'saddr')
  const syscall =
    syscallRecord &&
    (known(syscallRecord, 'SYSCALL') ?? syscallName(text(main, 'arch') ?? '', text(main, 'syscall') ?? '') ?? text(main, 'syscall'))
  return {
    type: text(syscallRecord ?? main, 'type') ?? 'UNKNOWN',
    main,
    syscall,
    paths: records.filter((item) => item.type === 'PATH'),
    cwd: text(one('CWD'), 'cwd'),
    execve: one('EXECVE'),
    title: title?.split('\0').filter((word, index, words) => word !== '' || index < words.length - 1),
    address: saddr === undefined ? undefined : decodeSocketAddress(saddr),
    openFlags: openFlags(main, syscall, one('OPENAT2')),
  }
}

const text = (record: JsonObject | undefined, name: string) => textOf(record?.[name])

/** A field that has a value: audit writes `?`, `(null)` and `unset` for those that have none. */
function known(record: JsonObject, name: string): string | undefined {
  const value = text(record, name)
  return value === '?' || value === '(null)' || value === 'unset' ? undefined : value
}

/** A connect that the kernel is still working on (a non-blocking socket, as in Node) has failed at nothing. */
function outcomeOf({ main, syscall }: AuditEvent): 'success' | 'failure' | 'unknown' {
  const result = text(main, 'success') ?? text(main, 'res')
  if (result === 'yes' || result === 'success' || result === '1') return 'success'
  if (result === undefined || !['no', 'failed', '0'].includes(result)) return 'unknown'
  return syscall === 'connect' && text(main, 'exit') === '-115' ? 'unknown' : 'failure'
}

const FORKS = new Set(['fork', 'vfork', 'clone'])
const CLONE_THREAD = 0x10000

/** Of a successful fork the child is the news: it is the process, the caller its parent, as endpoint sensors report it. */
function forkedChild({ main, syscall }: AuditEvent): number | undefined {
  if (syscall === undefined || !FORKS.has(syscall) || text(main, 'success') !== 'yes') return undefined
  if (syscall === 'clone' && hexNumber(main, 'a0') & CLONE_THREAD) return undefined
  const child = numberOf(text(main, 'exit'))
  return child !== undefined && child > 0 ? child : undefined
}

function processOf(event: AuditEvent, outcome: string): JsonObject | undefined {
  const { main, title, cwd } = event
  const executable = known(main, 'exe')
  // A failed execve lists the arguments of what did not start.
  const args = (outcome === 'failure' ? undefined : executeArguments(event.execve)) ?? title
  const child = forkedChild(event)
  const pid = numberOf(text(main, 'pid'))
  return some({
    pid: child ?? pid,
    name: executable === undefined ? undefined : baseName(executable),
    executable,
    args: args === undefined ? undefined : [...args],
    command_line: args?.join(' '),
    working_directory: cwd,
    exit_code: event.syscall === 'exit_group' || event.syscall === 'exit' ? hexNumber(main, 'a0') : undefined,
    thread: some({ name: known(main, 'comm') }),
    parent: some({ pid: child === undefined ? numberOf(text(main, 'ppid')) : pid }),
  })
}

/** The arguments of an EXECVE record. Long ones come in pieces: `a1_len=… a1[0]=… a1[1]=…`. */
function executeArguments(execve: JsonObject | undefined): readonly string[] | undefined {
  if (execve === undefined) return undefined
  const args: string[] = []
  for (let at = 0; ; at++) {
    const whole = execve[`a${at}`]
    const value = typeof whole === 'string' ? whole : joinPieces(execve, at)
    if (value === undefined) return args.length > 0 ? args : undefined
    args.push(value)
  }
}

function joinPieces(execve: JsonObject, argument: number): string | undefined {
  let joined: string | undefined
  for (let piece = 0; ; piece++) {
    const part = execve[`a${argument}[${piece}]`]
    if (typeof part !== 'string') return joined
    joined = (joined ?? '') + part
  }
}

function userOf({ main, type }: AuditEvent): JsonObject | undefined {
  if (type === 'SYSCALL') {
    const effective = text(main, 'euid') === text(main, 'uid') ? undefined : some({ id: known(main, 'euid'), name: known(main, 'EUID') })
    return some({ id: known(main, 'uid'), name: known(main, 'UID'), effective })
  }
  // Programs report on an account: `acct` by name, `id` by number; LOGIN knows the new login id only.
  return some({
    id: known(main, 'id') ?? (type === 'LOGIN' ? known(main, 'auid') : undefined),
    name: known(main, 'acct') ?? known(main, 'ID'),
  })
}

function keysOf(main: JsonObject): string[] {
  const key = known(main, 'key')
  return key === undefined ? [] : key.split('\x01')
}

const OUTGOING = new Set(['connect', 'sendto', 'sendmsg', 'sendmmsg'])
const INCOMING = new Set(['accept', 'accept4', 'recvfrom', 'recvmsg'])
const MODULES = new Set(['init_module', 'finit_module', 'delete_module'])
const READS = new Set(['read', 'pread64', 'readv', 'readlink', 'readlinkat', 'sendfile', 'copy_file_range', 'mmap', 'open_by_handle_at'])
const WRITES = new Set(['write', 'pwrite64', 'writev', 'truncate', 'ftruncate'])
const ATTRIBUTES = /^(?:f?l?chmod(?:at2?)?|[fl]?chown(?:at)?|fchmodat|fchownat|[fl]?(?:set|remove)xattr)$/
const RENAMES = /^rename(?:at2?)?$/
const LINKS = /^(?:sym)?link(?:at)?$/
const DELETES = /^(?:unlink|unlinkat|rmdir)$/
const MAKES = /^(?:creat|mkdir|mkdirat|mknodat)$/

function actOf(event: AuditEvent, outcome: string): Act {
  const { syscall } = event
  if (syscall === undefined) return programAct(event)
  if (syscall === 'execve' || syscall === 'execveat') return executeAct(event, outcome)
  if (forkedChild(event) !== undefined) return { category: 'process', type: 'start' }
  if (syscall === 'exit' || syscall === 'exit_group') return { category: 'process', type: 'end', logsource: ['process_termination'] }
  if (syscall === 'kill' || syscall === 'tkill' || syscall === 'tgkill') return { category: 'process', type: 'change' }
  if (syscall === 'ptrace' || syscall.startsWith('process_vm_'))
    return { category: 'process', type: 'access', logsource: ['process_access'] }
  if (MODULES.has(syscall)) return { category: 'driver', type: syscall === 'delete_module' ? 'end' : 'start' }
  if (OUTGOING.has(syscall) || INCOMING.has(syscall)) return networkAct(event)
  return event.paths.length > 0 ? fileAct(event, outcome) : {}
}

function executeAct(event: AuditEvent, outcome: string): Act {
  const started = outcome !== 'failure'
  return {
    category: 'process',
    type: 'start',
    logsource: started ? ['process_creation'] : [],
    fields: { file: fileFields(touched(event).slice(0, 1)) },
  }
}

/** The address of the other side. An attempt counts, whatever its outcome: it is the device that tries to reach out. */
function networkAct({ syscall, address }: AuditEvent): Act {
  if (address === undefined) return { category: 'network', type: 'info' }
  const outgoing = OUTGOING.has(syscall!)
  const peer = outgoing ? 'destination' : 'source'
  if (address.family === 'unix')
    return { category: 'network', type: 'connection', fields: { [peer]: { address: address.path }, network: { type: 'unix' } } }
  return {
    category: 'network',
    type: 'connection',
    logsource: ['network_connection'],
    fields: {
      [peer]: { ip: address.ip, port: address.port, address: address.ip },
      network: { direction: outgoing ? 'egress' : 'ingress', type: address.family === 'inet' ? 'ipv4' : 'ipv6' },
    },
  }
}

const O_ACCMODE = 3
const O_TRUNC = 0o1000

/** A file that was refused was not accessed: it keeps its path and outcome, and is found under `service: auditd` alone. */
function fileAct(event: AuditEvent, outcome: string): Act {
  const [type, logsource] = fileClass(event)
  return { category: 'file', type, logsource: outcome === 'failure' ? [] : logsource, fields: { file: fileOf(event) } }
}

function fileClass({ syscall = '', paths, openFlags }: AuditEvent): readonly [type: string, logsource: readonly string[]] {
  if (DELETES.test(syscall)) return ['deletion', ['file_delete']]
  if (RENAMES.test(syscall)) return ['change', ['file_rename']]
  if (LINKS.test(syscall) || MAKES.test(syscall) || paths.some((path) => path.nametype === 'CREATE')) return ['creation', ['file_event']]
  if (ATTRIBUTES.test(syscall) || WRITES.has(syscall)) return ['change', ['file_change']]
  if (READS.has(syscall)) return ['access', ['file_access']]
  if (openFlags === undefined) return ['info', []]
  const mode = openFlags & O_ACCMODE
  const written = openFlags & O_TRUNC ? 'file_event' : 'file_change'
  if (mode === 0) return ['access', ['file_access']]
  return ['change', mode === 2 ? ['file_access', written] : [written]]
}

function openFlags(main: JsonObject, syscall: string | undefined, openat2: JsonObject | undefined): number | undefined {
  if (syscall === 'open') return hexNumber(main, 'a1')
  if (syscall === 'openat') return hexNumber(main, 'a2')
  if (syscall !== 'openat2') return undefined
  return numberOf(text(openat2, 'oflag')) ?? 0
}

function fileOf(event: AuditEvent): JsonObject | undefined {
  const file = fileFields(touched(event))
  const item = objects(event)[0]
  if (file === undefined || item === undefined) return file
  return {
    ...file,
    ...some({ inode: known(item, 'inode'), mode: known(item, 'mode')?.slice(-4), uid: known(item, 'ouid'), gid: known(item, 'ogid') }),
  }
}

/** The PATH records of the files themselves; directories that hold them (PARENT) only where nothing else is named. */
function objects({ paths }: AuditEvent): readonly JsonObject[] {
  const named = paths.filter((path) => known(path, 'name') !== undefined)
  const own = named.filter((path) => path.nametype !== 'PARENT')
  return own.length > 0 ? own : named.slice(-1)
}

/** The absolute paths that the event touched. A rename or link touches two; otherwise one file is meant by all records. */
function touched(event: AuditEvent): readonly string[] {
  const { main, syscall = '', cwd } = event
  const items = objects(event)
  const several = RENAMES.test(syscall) || LINKS.test(syscall)
  const directory = relativeTo(main, syscall) ? cwd : undefined
  return (several ? items : items.slice(0, 1)).map((item) => joinPath(directory, known(item, 'name')!))
}

const AT_FDCWD = /^(?:f{8})?ffffff9c$/
const AT_CALLS = /at2?$/

/** Whether a relative path of this call is relative to the working directory: the `…at` calls may name another directory, which the log does not tell. */
function relativeTo(main: JsonObject, syscall: string): boolean {
  if (!AT_CALLS.test(syscall)) return true
  const descriptors = syscall === 'symlinkat' ? ['a1'] : RENAMES.test(syscall) || LINKS.test(syscall) ? ['a0', 'a2'] : ['a0']
  return descriptors.every((name) => AT_FDCWD.test(text(main, name) ?? ''))
}

function hexNumber(record: JsonObject, name: string): number {
  const value = Number.parseInt(text(record, name) ?? '', 16)
  return Number.isSafeInteger(value) ? value : 0
}

const AUTHENTICATION: Readonly<Record<string, string>> = {
  LOGIN: 'start',
  USER_LOGIN: 'start',
  USER_AUTH: 'start',
  USER_START: 'start',
  USER_END: 'end',
  USER_LOGOUT: 'end',
  USER_ACCT: 'info',
  USER_ERR: 'info',
  USER_CHAUTHTOK: 'info',
  USER_MGMT: 'info',
  CRED_ACQ: 'start',
  CRED_REFR: 'info',
  CRED_DISP: 'end',
  USER_CMD: 'info',
}

/** Records that programs write (login, PAM, systemd) and the kernel's notes about itself. */
function programAct({ type, main }: AuditEvent): Act {
  if (Object.hasOwn(AUTHENTICATION, type)) {
    return { category: 'authentication', type: AUTHENTICATION[type]!, logsource: ['authentication'], fields: { source: sourceOf(main) } }
  }
  if (type === 'CONFIG_CHANGE')
    return {
      category: 'configuration',
      type: 'change',
      fields: { file: fileFields([known(main, 'path')].filter((path) => path !== undefined)) },
    }
  if (type === 'SERVICE_START' || type === 'SERVICE_STOP') {
    return {
      category: 'process',
      type: type === 'SERVICE_START' ? 'start' : 'end',
      fields: { service: some({ name: known(main, 'unit') }) },
    }
  }
  return {}
}

function sourceOf(main: JsonObject): JsonObject | undefined {
  const address = known(main, 'addr')
  const name = known(main, 'hostname')
  return some({
    ip: address !== undefined && isIP(address) !== 0 ? address : undefined,
    domain: name !== undefined && isIP(name) === 0 ? name : undefined,
  })
}
