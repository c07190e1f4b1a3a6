import { textOf } from '../shape.ts'
import { SYSMON_CHANNEL } from './windows-logsource.ts'
import type { WindowsRecord } from './windows-record.ts'

/** What kind of act a Windows event tells of. */
export interface WindowsAct {
  readonly action: string
  readonly category?: string
  readonly type?: string
  readonly outcome: 'success' | 'failure' | 'unknown'
  readonly isProcessStart: boolean
  /** The account that the event calls its target is the one that logs on. */
  readonly isLogon: boolean
  /** The event is about what one account does to another. */
  readonly target: boolean
  /** Sigma's category, where events of the Security log tell what Sysmon's do. */
  readonly logsource?: string
}

type Row = readonly [action: string, category?: string, type?: string]

/** Sysmon's events by id, under the names of its own schema. */
const SYSMON: Readonly<Record<string, Row>> = {
  1: ['ProcessCreate', 'process', 'start'],
  2: ['FileCreateTime', 'file', 'change'],
  3: ['NetworkConnect', 'network', 'connection'],
  4: ['ServiceStateChange', 'configuration', 'change'],
  5: ['ProcessTerminate', 'process', 'end'],
  6: ['DriverLoad', 'driver', 'start'],
  7: ['ImageLoad', 'library', 'start'],
  8: ['CreateRemoteThread', 'process', 'change'],
  9: ['RawAccessRead', 'process', 'access'],
  10: ['ProcessAccess', 'process', 'access'],
  11: ['FileCreate', 'file', 'creation'],
  12: ['RegistryEvent', 'registry', 'change'],
  13: ['RegistryEvent', 'registry', 'change'],
  14: ['RegistryEvent', 'registry', 'change'],
  15: ['FileCreateStreamHash', 'file', 'creation'],
  16: ['ServiceConfigurationChange', 'configuration', 'change'],
  17: ['PipeEvent', 'file', 'creation'],
  18: ['PipeEvent', 'file', 'access'],
  19: ['WmiEvent', 'configuration', 'creation'],
  20: ['WmiEvent', 'configuration', 'creation'],
  21: ['WmiEvent', 'configuration', 'creation'],
  22: ['DnsQuery', 'network', 'protocol'],
  23: ['FileDelete', 'file', 'deletion'],
  24: ['ClipboardChange'],
  25: ['ProcessTampering', 'process', 'change'],
  26: ['FileDeleteDetected', 'file', 'deletion'],
  27: ['FileBlockExecutable', 'file', 'denied'],
  28: ['FileBlockShredding', 'file', 'denied'],
  29: ['FileExecutableDetected', 'file', 'creation'],
  255: ['Error', 'process', 'error'],
}

/** What became of it, where Sysmon prevented something or failed itself. */
const SYSMON_FAILURES = new Set(['27', '28', '255'])

/** Events of the Security log, and of others, whose ids are the same in every version of Windows that is supported. */
const AUDIT: Readonly<Record<string, Row>> = {
  1102: ['audit-log-cleared', 'iam', 'admin'],
  4616: ['system-time-changed', 'configuration', 'change'],
  4624: ['logged-in', 'authentication', 'start'],
  4625: ['logon-failed', 'authentication', 'start'],
  4634: ['logged-out', 'authentication', 'end'],
  4647: ['logged-out', 'authentication', 'end'],
  4648: ['logged-in-explicit', 'authentication', 'start'],
  4656: ['object-handle-requested', 'file', 'access'],
  4657: ['registry-value-modified', 'registry', 'change'],
  4660: ['object-deleted', 'file', 'deletion'],
  4663: ['object-accessed', 'file', 'access'],
  4670: ['permissions-changed', 'iam', 'change'],
  4672: ['logged-in-special', 'iam', 'admin'],
  4673: ['privileged-service-called', 'iam', 'admin'],
  4674: ['privileged-operation', 'iam', 'admin'],
  4688: ['created-process', 'process', 'start'],
  4689: ['exited-process', 'process', 'end'],
  4697: ['service-installed', 'configuration', 'creation'],
  4698: ['scheduled-task-created', 'configuration', 'creation'],
  4699: ['scheduled-task-deleted', 'configuration', 'deletion'],
  4700: ['scheduled-task-enabled', 'configuration', 'change'],
  4701: ['scheduled-task-disabled', 'configuration', 'change'],
  4702: ['scheduled-task-updated', 'configuration', 'change'],
  4719: ['changed-audit-config', 'configuration', 'change'],
  4720: ['added-user-account', 'iam', 'creation'],
  4722: ['enabled-user-account', 'iam', 'change'],
  4723: ['changed-password', 'iam', 'change'],
  4724: ['reset-password', 'iam', 'change'],
  4725: ['disabled-user-account', 'iam', 'change'],
  4726: ['deleted-user-account', 'iam', 'deletion'],
  4728: ['added-member-to-group', 'iam', 'group'],
  4729: ['removed-member-from-group', 'iam', 'group'],
  4732: ['added-member-to-group', 'iam', 'group'],
  4733: ['removed-member-from-group', 'iam', 'group'],
  4738: ['modified-user-account', 'iam', 'change'],
  4740: ['locked-out-user-account', 'iam', 'change'],
  4741: ['added-computer-account', 'iam', 'creation'],
  4742: ['changed-computer-account', 'iam', 'change'],
  4743: ['deleted-computer-account', 'iam', 'deletion'],
  4756: ['added-member-to-group', 'iam', 'group'],
  4757: ['removed-member-from-group', 'iam', 'group'],
  4767: ['unlocked-user-account', 'iam', 'change'],
  4768: ['kerberos-authentication-ticket-requested', 'authentication', 'start'],
  4769: ['kerberos-service-ticket-requested', 'authentication', 'start'],
  4770: ['kerberos-service-ticket-renewed', 'authentication', 'start'],
  4771: ['kerberos-preauth-failed', 'authentication', 'start'],
  4776: ['credential-validated', 'authentication', 'start'],
  4778: ['session-reconnected', 'session', 'start'],
  4779: ['session-disconnected', 'session', 'end'],
  4781: ['renamed-user-account', 'iam', 'change'],
  5140: ['network-share-accessed', 'file', 'access'],
  5142: ['network-share-added', 'configuration', 'creation'],
  5145: ['network-share-object-checked', 'file', 'access'],
  5156: ['connection-permitted', 'network', 'connection'],
  5157: ['connection-blocked', 'network', 'denied'],
}

/** Those of the Service Control Manager, in the System log. */
const SERVICES: Readonly<Record<string, Row>> = {
  7036: ['service-state-changed', 'process', 'change'],
  7040: ['service-start-type-changed', 'configuration', 'change'],
  7045: ['service-installed', 'configuration', 'creation'],
}

const SCRIPTS: Readonly<Record<string, Row>> = {
  4103: ['powershell-module', 'process', 'info'],
  4104: ['powershell-script-block', 'process', 'info'],
}

/** What Sysmon would have told of: rules about processes, connections and the registry hold for the Security log too. */
const AUDIT_LOGSOURCES: Readonly<Record<string, string>> = {
  4688: 'process_creation',
  4689: 'process_termination',
  5156: 'network_connection',
}

const LOGONS = new Set(['4624', '4625', '4634', '4647', '4768', '4769', '4770', '4771', '4776', '4778', '4779'])

export function isSysmon({ channel, provider }: WindowsRecord): boolean {
  return provider?.toLowerCase() === 'microsoft-windows-sysmon' || channel?.toLowerCase() === SYSMON_CHANNEL.toLowerCase()
}

/** An event's act by its channel and id; one that no table has is called by the name that came with it, else by its id. */
export function actOf(record: WindowsRecord): WindowsAct {
  const { id, native } = record
  if (isSysmon(record)) {
    const [action = record.name ?? id, category, type] = own(SYSMON, id) ?? []
    const failed = SYSMON_FAILURES.has(id) || (id === '22' && !['0', undefined].includes(textOf(native.QueryStatus)))
    return act({ action, category, type: registryType(id, textOf(native.EventType)) ?? type, outcome: failed ? 'failure' : 'success' }, id)
  }
  const isAudit = record.channel?.toLowerCase() === 'security'
  const [action = record.name ?? id, category, type] = rowOf(record, isAudit) ?? []
  const status = textOf(native.Status) ?? textOf(native.ResultCode) ?? textOf(native.FailureCode)
  const outcome = record.outcome ?? (isAudit && status !== undefined ? (/^0x0+$/i.test(status) ? 'success' : 'failure') : 'unknown')
  const basic = act({ action, category: objectCategory(id, category, textOf(native.ObjectType)), type, outcome }, id)
  if (!isAudit) return basic
  const logsource = own(AUDIT_LOGSOURCES, id)
  return {
    ...basic,
    isLogon: LOGONS.has(id),
    target: category === 'iam' || id === '4648',
    ...(logsource === undefined ? {} : { logsource }),
  }
}

function rowOf({ channel, provider, id }: WindowsRecord, isAudit: boolean): Row | undefined {
  if (isAudit) return own(AUDIT, id)
  if (provider === 'Service Control Manager') return own(SERVICES, id)
  return channel?.toLowerCase().startsWith('microsoft-windows-powershell/') || channel?.startsWith('PowerShellCore/')
    ? own(SCRIPTS, id)
    : undefined
}

function act({ action, category, type, outcome }: Kind, id: string): WindowsAct {
  const isProcessStart = category === 'process' && type === 'start'
  return {
    action,
    ...(category === undefined ? {} : { category }),
    ...(type === undefined ? {} : { type }),
    outcome: id === '4625' || id === '4771' ? 'failure' : outcome,
    isProcessStart,
    isLogon: false,
    target: false,
  }
}

interface Kind {
  readonly action: string
  readonly category: string | undefined
  readonly type: string | undefined
  readonly outcome: WindowsAct['outcome']
}

/** Sysmon has one event for keys and values that come and those that go. */
function registryType(id: string, eventType: string | undefined): string | undefined {
  if (id !== '12') return undefined
  if (eventType?.startsWith('Delete')) return 'deletion'
  return eventType?.startsWith('Create') ? 'creation' : undefined
}

/** The Security log's object events are about files, keys of the registry, and whatever else has a handle. */
function objectCategory(id: string, category: string | undefined, objectType: string | undefined): string | undefined {
  if (!['4656', '4660', '4663'].includes(id) || objectType === 'File') return category
  return objectType === 'Key' ? 'registry' : undefined
}

function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined
}
