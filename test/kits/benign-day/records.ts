import type { Delivery } from './session.ts'

export interface Person {
  readonly id: string
  readonly email: string
  readonly device: string
  readonly address: string
  readonly agent: 'gemini' | 'claude' | 'cowork'
}

const iso = (at: number) => new Date(at).toISOString()

/** One line of JSON of a source. */
function line(at: number, source: string, record: object): Delivery {
  return { at, source, body: JSON.stringify(record) }
}

/** One request of Claude's exporter: an event with its attributes. */
export function claudeEvent(
  at: number,
  { email, agent }: Person,
  session: string,
  sequence: number,
  name: string,
  attributes: Readonly<Record<string, string | number>>,
): Delivery {
  const all = {
    'event.name': name,
    'event.sequence': sequence,
    'event.timestamp': iso(at),
    'session.id': session,
    'user.email': email,
    ...attributes,
  }
  const record = {
    timeUnixNano: `${at}000000`,
    body: { stringValue: `claude_code.${name}` },
    attributes: Object.entries(all).map(([key, value]) => ({
      key,
      value: typeof value === 'number' ? { intValue: value } : { stringValue: value },
    })),
  }
  const service = agent === 'cowork' ? 'cowork' : 'claude-code'
  return line(at, 'agent.claude_cowork', {
    resourceLogs: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
        scopeLogs: [{ scope: { name: 'com.anthropic.claude_code.events', version: '2.1.250' }, logRecords: [record] }],
      },
    ],
  })
}

/** What the broker of capability tokens decides. */
export function brokerEvent(at: number, person: Person, event: string, facts: Readonly<Record<string, unknown>>): Delivery {
  return line(at, 'broker', { time: iso(at), event, user: person.email, device_id: person.device, ...facts })
}

/** A sign-in: what it took, one entry of the System Log for each factor. */
export function oktaEvent(at: number, person: Person, id: string, eventType: string, result: 'SUCCESS' | 'FAILURE'): Delivery {
  return line(at, 'okta.system', {
    uuid: id,
    published: iso(at),
    eventType,
    severity: result === 'SUCCESS' ? 'INFO' : 'WARN',
    actor: { id: person.id, type: 'User', alternateId: person.email, displayName: person.id },
    client: { userAgent: { rawUserAgent: 'Mozilla/5.0 (X11; Linux x86_64)' }, ipAddress: person.address },
    outcome: { result },
  })
}

/** How device management found a device. */
export function intuneDevice(at: number, person: Person): Delivery {
  return line(at, 'intune.managed_device', {
    id: `mdm-${person.device}`,
    deviceName: person.device,
    enrolledDateTime: '2026-01-10T08:00:00Z',
    lastSyncDateTime: iso(at),
    operatingSystem: 'Linux',
    complianceState: 'compliant',
    isEncrypted: true,
    userPrincipalName: person.email,
  })
}

/** A connection that the network monitor saw. */
export function zeekFlow(
  at: number,
  { address }: Pick<Person, 'address'>,
  id: string,
  to: string,
  port: number,
  sent: number,
  received: number,
): Delivery {
  const inside = /^10\./.test(to)
  return line(at, 'zeek', {
    _path: 'conn',
    ts: at / 1_000,
    uid: id,
    'id.orig_h': address,
    'id.orig_p': 40_000 + (sent % 20_000),
    'id.resp_h': to,
    'id.resp_p': port,
    proto: port === 53 ? 'udp' : 'tcp',
    duration: 1.5,
    orig_bytes: sent,
    resp_bytes: received,
    conn_state: 'SF',
    local_orig: true,
    local_resp: inside,
    orig_pkts: 12,
    orig_ip_bytes: sent + 480,
  })
}

/** A tunnel through the proxy. */
export function squidTunnel(at: number, { id, address }: Person, to: string, sent: number, received: number): Delivery {
  return line(at, 'squid', {
    ts: (at / 1_000).toFixed(3),
    duration_ms: '900',
    client_ip: address,
    client_port: '51000',
    user: id,
    method: 'CONNECT',
    url: `${to}:443`,
    http_version: '1.1',
    status: '200',
    squid_status: 'TCP_TUNNEL',
    hierarchy: 'HIER_DIRECT',
    server_ip: '198.51.100.40',
    server_port: '443',
    bytes_in: String(sent),
    bytes_out: String(received),
    content_type: '-',
    user_agent: 'Mozilla/5.0',
    referer: '-',
  })
}

/** A program that a person starts, as kernel audit has it; `reads` is a watched file that it opens. */
export function auditOfPerson(
  at: number,
  { device }: Person,
  serial: number,
  args: readonly string[],
  executable: string,
  reads?: string,
): Delivery {
  const stamp = (offset: number) => `msg=audit(${((at + offset) / 1_000).toFixed(3)}:${serial + offset})`
  const main = `ppid=2001 pid=${30_000 + (serial % 30_000)} auid=1000 uid=1000 gid=1000 euid=1000 tty=pts0 ses=3 comm="${args[0]}" exe="${executable}"`
  const hex = Buffer.from(args.join('\0')).toString('hex').toUpperCase()
  const lines = [
    `type=SYSCALL ${stamp(0)}: arch=c000003e syscall=59 success=yes exit=0 items=1 ${main} key="cordon-process"`,
    `type=EXECVE ${stamp(0)}: argc=${args.length} ${args.map((word, index) => `a${index}="${word}"`).join(' ')}`,
    `type=PROCTITLE ${stamp(0)}: proctitle=${hex}`,
  ]
  if (reads !== undefined)
    lines.push(
      `type=SYSCALL ${stamp(1)}: arch=c000003e syscall=257 success=yes exit=3 a2=0 items=1 ${main} key="cordon-sensitive"`,
      `type=PATH ${stamp(1)}: item=0 name="${reads}" nametype=NORMAL`,
      `type=PROCTITLE ${stamp(1)}: proctitle=${hex}`,
    )
  return { at, source: 'linux.auditd', body: lines.map((text) => `node=${device} ${text}`).join('\n') }
}
