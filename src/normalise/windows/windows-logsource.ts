import type { LogSource } from '../../event/event.ts'

export const SYSMON_CHANNEL = 'Microsoft-Windows-Sysmon/Operational'

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
  'PowerShellCore/Operational 4103': 'ps_module',
  'PowerShellCore/Operational 4104': 'ps_script',
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
  [SYSMON_CHANNEL]: 'sysmon',
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
  'Microsoft-IIS-Configuration/Operational': 'iis-configuration',
  'Microsoft-Windows-SmbClient/Connectivity': 'smbclient-connectivity',
  'Microsoft-Windows-SMBServer/Connectivity': 'smbserver-connectivity',
  'Microsoft-ServiceBus-Client': 'microsoft-servicebus-client',
  'Microsoft-Windows-LSA/Operational': 'lsa-server',
  'Microsoft-Windows-DNS-Server/Analytical': 'dns-server-analytic',
  'Microsoft-Windows-Diagnosis-Scripted/Operational': 'diagnosis-scripted',
  'Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational': 'certificateservicesclient-lifecycle-system',
  'Microsoft-Windows-AppxPackaging/Operational': 'appxpackaging-om',
  'Microsoft-Windows-AppModel-Runtime/Admin': 'appmodel-runtime',
}

/** Some forwarders write channels in lower case. */
const CHANNELS = new Map(Object.keys(CHANNEL_SERVICES).map((name) => [name.toLowerCase(), name]))

const known = new Map<string, readonly LogSource[]>()
/** Channels are named by senders: beyond this many kinds of event, all are forgotten. */
const MOST_KNOWN = 10_000

/** The log sources of a Windows event (SigmaHQ, "Logsource guides: Windows"): its channel's service, and categories by its id. */
export function windowsLogSources(channel: string, id: string): readonly LogSource[] {
  const key = `${channel} ${id}`
  let sources = known.get(key)
  if (sources === undefined) {
    if (known.size >= MOST_KNOWN) known.clear()
    sources = lookUp(CHANNELS.get(channel.toLowerCase()) ?? channel, id)
    known.set(key, sources)
  }
  return sources
}

function lookUp(channel: string, id: string): readonly LogSource[] {
  const service = own(CHANNEL_SERVICES, channel)
  const categories = channel === SYSMON_CHANNEL ? own(SYSMON_CATEGORIES, id) : own(POWERSHELL_CATEGORIES, `${channel} ${id}`)
  const named = [categories ?? []].flat().map((category) => ({ product: 'windows', category }))
  return [{ product: 'windows', ...(service === undefined ? {} : { service }) }, ...named]
}

function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined
}
