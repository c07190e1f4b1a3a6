import { getPath, type JsonObject } from '../../event/json.ts'
import type { Read } from './zeek-logs.ts'

/** A field of a record: Zeek writes `id.orig_h` as one name, some shippers as nested ones. */
export function reader(record: JsonObject): Read {
  return (name) => (Object.hasOwn(record, name) ? record[name] : getPath(record, name)) ?? undefined
}

/**
 * Zeek's logs by the fields that no other of them has, most telling first: written to files of their own, JSON records do not
 * say of which log they are.
 */
const SIGNS: readonly (readonly [path: string, names: readonly string[]])[] = [
  ['notice', ['note', 'msg']],
  ['intel', ['seen.indicator']],
  ['conn', ['conn_state']],
  ['dns', ['trans_id', 'rejected']],
  ['dns', ['query', 'qtype_name']],
  ['http', ['trans_depth', 'method']],
  ['http', ['trans_depth', 'status_code']],
  ['http', ['trans_depth', 'request_body_len']],
  ['smtp', ['trans_depth', 'helo']],
  ['smtp', ['trans_depth', 'mailfrom']],
  ['ssl', ['cipher', 'established']],
  ['ssl', ['resumed', 'established']],
  ['x509', ['certificate.serial']],
  ['ssh', ['auth_attempts']],
  ['ssh', ['host_key_alg']],
  ['ssh', ['kex_alg', 'client']],
  ['dce_rpc', ['endpoint', 'operation']],
  ['kerberos', ['request_type']],
  ['ntlm', ['server_nb_computer_name']],
  ['ntlm', ['domainname', 'username']],
  ['rdp', ['security_protocol']],
  ['rdp', ['cookie', 'result']],
  ['smb_mapping', ['share_type']],
  ['dhcp', ['msg_types']],
  ['ftp', ['command', 'user']],
  ['tunnel', ['tunnel_type', 'action']],
  ['quic', ['client_initial_dcid']],
  ['files', ['fuid', 'source', 'analyzers']],
  ['files', ['fuid', 'seen_bytes']],
  ['software', ['software_type', 'unparsed_version']],
  ['weird', ['name', 'peer', 'notice']],
]

/** Which log a record is of: it says so itself, or what it has does. Undefined for records that are none of Zeek's. */
export function pathOf(record: JsonObject): string | undefined {
  if (record.ts === undefined || record.ts === null) return undefined
  const { _path: own } = record
  if (typeof own === 'string' && /^[a-z][a-z0-9_]{0,63}$/i.test(own)) return own
  const read = reader(record)
  const isConnection = read('uid') !== undefined && read('id.orig_h') !== undefined
  const action = read('action')
  if (isConnection && typeof action === 'string' && action.startsWith('SMB::')) return 'smb_files'
  const found = SIGNS.find(([path, names]) => (isConnection || STANDING.has(path)) && names.every((name) => read(name) !== undefined))
  return found?.[0] ?? (isConnection && read('id.resp_h') !== undefined ? 'unknown' : undefined)
}

/** Logs whose records need no connection. */
const STANDING = new Set(['notice', 'x509', 'files', 'dhcp', 'software', 'weird'])
