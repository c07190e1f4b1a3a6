import type { LogSource } from '../src/event/event.ts'
import type { Json, JsonObject } from '../src/event/json.ts'

const SYSMON = 'Microsoft-Windows-Sysmon/Operational'

/** Sysmon's event ids by Sigma category (SigmaHQ, "Logsource guides: Windows"). */
const SYSMON_CATEGORIES: Readonly<Record<number, readonly string[]>> = {
  1: ['process_creation'],
  2: ['file_change'],
  3: ['network_connection'],
  4: ['sysmon_status'],
  5: ['process_termination'],
  6: ['driver_load'],
  7: ['image_load'],
  8: ['create_remote_thread'],
  9: ['raw_access_thread'],
  10: ['process_access'],
  11: ['file_event'],
  12: ['registry_add', 'registry_delete', 'registry_event'],
  13: ['registry_set', 'registry_event'],
  14: ['registry_rename', 'registry_event'],
  15: ['create_stream_hash'],
  16: ['sysmon_status'],
  17: ['pipe_created'],
  18: ['pipe_created'],
  19: ['wmi_event'],
  20: ['wmi_event'],
  21: ['wmi_event'],
  22: ['dns_query'],
  23: ['file_delete'],
  24: ['clipboard_capture'],
  25: ['process_tampering'],
  26: ['file_delete'],
  27: ['file_block_executable'],
  28: ['file_block_shredding'],
  29: ['file_executable_detected'],
  71: ['file_rename'],
  72: ['file_access'],
  255: ['sysmon_error'],
}

const POWERSHELL_CATEGORIES: Readonly<Record<string, string>> = {
  'Microsoft-Windows-PowerShell/Operational 4103': 'ps_module',
  'Microsoft-Windows-PowerShell/Operational 4104': 'ps_script',
  'Windows PowerShell 400': 'ps_classic_start',
  'Windows PowerShell 600': 'ps_classic_provider_start',
  'Windows PowerShell 800': 'ps_classic_script',
}

const CHANNEL_SERVICES: Readonly<Record<string, string>> = {
  Security: 'security',
  System: 'system',
  Application: 'application',
  'Windows PowerShell': 'powershell-classic',
  'Microsoft-Windows-PowerShell/Operational': 'powershell',
  'PowerShellCore/Operational': 'powershell',
  [SYSMON]: 'sysmon',
  'Microsoft-Windows-Windows Defender/Operational': 'windefend',
  'Microsoft-Windows-TaskScheduler/Operational': 'taskscheduler',
  'Microsoft-Windows-Bits-Client/Operational': 'bits-client',
  'Microsoft-Windows-WMI-Activity/Operational': 'wmi',
  'Microsoft-Windows-Windows Firewall With Advanced Security/Firewall': 'firewall-as',
  'DNS Server': 'dns-server',
  'Microsoft-Windows-NTLM/Operational': 'ntlm',
  'Microsoft-Windows-CodeIntegrity/Operational': 'codeintegrity-operational',
  'Microsoft-Windows-AppLocker/MSI and Script': 'applocker',
  'Microsoft-Windows-AppLocker/EXE and DLL': 'applocker',
  'Microsoft-Windows-AppLocker/Packaged app-Deployment': 'applocker',
  'Microsoft-Windows-AppLocker/Packaged app-Execution': 'applocker',
  'MSExchange Management': 'msexchange-management',
  'Microsoft-Windows-TerminalServices-LocalSessionManager/Operational': 'terminalservices-localsessionmanager',
  'OpenSSH/Operational': 'openssh',
  'Microsoft-Windows-SmbClient/Security': 'smbclient-security',
  'Microsoft-Windows-PrintService/Admin': 'printservice-admin',
  'Microsoft-Windows-PrintService/Operational': 'printservice-operational',
  'Microsoft-Windows-DriverFrameworks-UserMode/Operational': 'driver-framework',
  'Microsoft-Windows-Security-Mitigations/Kernel Mode': 'security-mitigations',
  'Microsoft-Windows-Security-Mitigations/User Mode': 'security-mitigations',
  'Microsoft-Windows-AppXDeploymentServer/Operational': 'appxdeployment-server',
  'Microsoft-Windows-DNS Client Events/Operational': 'dns-client',
  'Microsoft-Windows-Shell-Core/Operational': 'shell-core',
  'Microsoft-Windows-CAPI2/Operational': 'capi2',
  'Microsoft-Windows-LDAP-Client/Debug': 'ldap',
}

/**
 * The log source tags of a flat corpus event: a Windows event by its channel and id, any other by what the corpus wrote into
 * `_product`, `_category` and `_service`.
 */
export function logSourcesOf(record: JsonObject): readonly LogSource[] {
  const { Channel: channel, EventID: id } = record
  if (typeof channel === 'string') return windowsSources(channel, id)
  return [{ ...tag('product', record._product), ...tag('category', record._category), ...tag('service', record._service) }]
}

/** Some forwarders write channels in lower case. */
const CHANNELS = new Map(Object.keys(CHANNEL_SERVICES).map((name) => [name.toLowerCase(), name]))

const known = new Map<string, readonly LogSource[]>()

function windowsSources(channel: string, id: Json | undefined): readonly LogSource[] {
  const key = `${channel} ${id}`
  let sources = known.get(key)
  if (sources === undefined) {
    const name = CHANNELS.get(channel.toLowerCase()) ?? channel
    const categories = name === SYSMON ? (SYSMON_CATEGORIES[Number(id)] ?? []) : [POWERSHELL_CATEGORIES[`${name} ${id}`] ?? []].flat()
    const service = { product: 'windows', ...tag('service', CHANNEL_SERVICES[name]) }
    sources = [service, ...categories.map((category) => ({ product: 'windows', category }))]
    known.set(key, sources)
  }
  return sources
}

function tag<Key extends keyof LogSource>(key: Key, value: Json | undefined): { [K in Key]?: string } {
  return (typeof value === 'string' ? { [key]: value } : {}) as { [K in Key]?: string }
}
