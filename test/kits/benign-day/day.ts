import { Random } from '../../proof/random.ts'
import { auditOfPerson, brokerEvent, claudeEvent, intuneDevice, oktaEvent, type Person, squidTunnel, zeekFlow } from './records.ts'
import { type Delivery, recordedSession } from './session.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const AGENTS = ['gemini', 'cowork', 'claude'] as const
const OUTSIDE = ['198.51.100.40', '198.51.100.41', '198.51.100.77', '192.0.2.15', '192.0.2.80', '203.0.113.9']
const INSIDE = ['10.20.0.5', '10.20.0.6', '10.20.0.9']
/** The organisation's own inference, as the shipped filter has it. */
const INFERENCE = '10.0.0.7'

export interface Day {
  readonly people: readonly Person[]
  /** By time. */
  readonly deliveries: readonly Delivery[]
}

/**
 * 24 hours of people who work with agents and do nothing wrong. They sign in with two factors from devices that are managed and encrypted, and
 * browse; their agents read, search, edit, ask the broker for what it guards; some things go awry as they do: a wrong password, a token that
 * has expired, a file that a tool may not read, a plugin that somebody tries out.
 *
 * @param start the day's first moment, in milliseconds since the epoch
 * @param flows how many connections the network monitor sees of each person; by default 550
 */
export function ordinaryDay(settings: { people: number; seed: number; start: number; flows?: number }): Day {
  const { people: count, seed, start, flows = 550 } = settings
  const random = new Random(seed)
  const people = Array.from({ length: count }, (_, at): Person => {
    const id = `user-${at + 1}`
    return { id, email: `${id}@corp.example`, device: `ws-${at + 1}`, address: `10.20.4.${at + 10}`, agent: AGENTS[at % AGENTS.length]! }
  })
  const deliveries = people.flatMap((person, at) => [...dayOf(person, at, random, start, flows)])
  deliveries.push(...printer(start))
  return { people, deliveries: deliveries.toSorted((one, other) => one.at - other.at) }
}

/** What Cordon knows of these people: one device each. */
export function inventoryOf(people: readonly Person[]): string {
  return JSON.stringify({
    devices: people.map(({ device, address, id }) => ({
      id: device,
      name: device,
      addresses: [address],
      owner: id,
      mdm_id: `mdm-${device}`,
    })),
    users: people.map(({ id, email }) => ({ id, email, name: id })),
    labels: [
      { path: '/srv/share/finance/*', classification: 'Confidential' },
      { path: '/srv/share/*', classification: 'Internal' },
    ],
  })
}

/** A thing on the network that nobody owns, and that never sleeps: the network monitor always has something to tell. */
function* printer(start: number): Generator<Delivery> {
  for (let at = start; at < start + 24 * HOUR; at += 10 * MINUTE)
    yield zeekFlow(at, { address: '10.20.9.9' }, `P${at}`, INSIDE[0]!, 443, 900, 900)
}

function* dayOf(person: Person, number: number, random: Random, start: number, flows: number): Generator<Delivery> {
  const arrives = start + random.between(7, 9.5) * HOUR
  const leaves = arrives + random.between(8, 9) * HOUR
  const within = () => Math.round(random.between(arrives + 10 * MINUTE, leaves))
  for (let at = start + number * MINUTE; at < start + 24 * HOUR; at += 8 * HOUR) yield intuneDevice(at, person)
  yield* signIns(person, Math.round(arrives), within(), random)
  yield* traffic(person, random, start, flows, within)
  yield* byHand(person, number, within)
  const sessions = 3 + random.below(4)
  for (let at = 0; at < sessions; at++) {
    const began = within()
    const id = `${number}${at}00000-0000-4000-8000-${String(began % 1e12).padStart(12, '0')}`
    if (person.agent === 'gemini') yield* recordedSession(person.device, began, (number * 10 + at) * 1_000_000, id)
    else if (person.agent === 'claude') yield* codingSession(person, began, id, random, at === 0 && number === 2)
    else yield* officeSession(person, began, id, random)
  }
}

function* signIns(person: Person, arrives: number, again: number, random: Random): Generator<Delivery> {
  const uuid = (at: number, what: number) => `${person.id}-${at}-${what}`
  if (random.chance(0.3)) yield oktaEvent(arrives - 20_000, person, uuid(arrives, 0), 'user.session.start', 'FAILURE')
  for (const at of [arrives, again]) {
    yield oktaEvent(at, person, uuid(at, 1), 'user.session.start', 'SUCCESS')
    yield oktaEvent(at + 9_000, person, uuid(at, 2), 'user.authentication.auth_via_mfa', 'SUCCESS')
  }
}

/** Browsing and mail by day, updates by night, one call with pictures. */
function* traffic(person: Person, random: Random, start: number, flows: number, within: () => number): Generator<Delivery> {
  const flow = (at: number, to: string, sent: number, received: number) =>
    zeekFlow(at, person, `C${person.device}${at}${sent}`, to, 443, Math.round(sent), Math.round(received))
  for (let at = 0; at < flows * 0.75; at++)
    yield flow(within(), random.pick(OUTSIDE), random.between(600, 60_000), random.between(2_000, 3e6))
  for (let at = 0; at < flows * 0.25; at++)
    yield flow(within(), random.pick(INSIDE), random.between(600, 200_000), random.between(2_000, 1e6))
  for (let at = 0; at < flows / 10; at++)
    yield squidTunnel(within(), person, random.pick(['docs.example.org', 'mail.example.com']), 4_000, 90_000)
  for (let at = 0; at < 6; at++) yield flow(Math.round(start + random.between(0, 6) * HOUR), random.pick(OUTSIDE), 2_000, 4e7)
  const call = within()
  for (let at = 0; at < 30; at++) yield flow(call + at * MINUTE, OUTSIDE[0]!, 9e6, 2e7)
}

/** What the person does without an agent: rules about agents have nothing to do with it. */
function* byHand(person: Person, number: number, within: () => number): Generator<Delivery> {
  const serial = (number + 1) * 100_000_000
  const home = '/home/ana'
  yield auditOfPerson(within(), person, serial, ['ssh', 'build.corp.example'], '/usr/bin/ssh', `${home}/.ssh/id_ed25519`)
  yield auditOfPerson(
    within(),
    person,
    serial + 10,
    ['firefox'],
    '/usr/lib/firefox/firefox',
    `${home}/.mozilla/firefox/x.default/cookies.sqlite`,
  )
  yield auditOfPerson(within(), person, serial + 20, ['sudo', 'apt-get', 'upgrade'], '/usr/bin/sudo')
  yield auditOfPerson(within(), person, serial + 30, ['npm', 'install', '-g', '@google/gemini-cli@latest'], '/usr/bin/node')
}

/** Claude Code on a project: files are read and written, commands run, a page is fetched. @param curious tries out a plugin */
function* codingSession(person: Person, began: number, session: string, random: Random, curious: boolean): Generator<Delivery> {
  let at = began
  let sequence = 0
  const tell = (name: string, attributes: Readonly<Record<string, string | number>>) => {
    at += Math.round(random.between(2_000, 40_000))
    return claudeEvent(at, person, session, ++sequence, name, attributes)
  }
  const tool = (tool_name: string, input: object, more: Readonly<Record<string, string>> = {}) =>
    tell('tool_result', {
      tool_name,
      success: 'true',
      duration_ms: 40,
      decision_type: 'accept',
      decision_source: 'config',
      tool_input: JSON.stringify(input),
      ...more,
    })
  yield tell('mcp_server_connection', { server_name: 'tickets', status: 'connected', transport_type: 'stdio' })
  yield tell('plugin_loaded', { plugin_name: 'house-style' })
  if (curious) yield tell('plugin_installed', { plugin_name: 'changelog', 'marketplace.is_official': 'true' })
  for (let turn = 0; turn < 4; turn++) {
    yield tell('user_prompt', { prompt_length: 60, prompt: 'Make the importer skip empty lines, and run its tests' })
    yield tell('api_request', { model: 'claude-opus', input_tokens: 4_000, output_tokens: 300, duration_ms: 2_400 })
    for (let file = 0; file < 4; file++) yield tool('Read', { file_path: `/home/ana/importer/src/part-${random.below(40)}.ts` })
    yield tool('Grep', { pattern: 'emptyLine', path: '/home/ana/importer/src' })
    yield tell('tool_decision', { tool_name: 'Edit', decision: random.chance(0.1) ? 'reject' : 'accept', source: 'user_temporary' })
    yield tool('Edit', { file_path: '/home/ana/importer/src/part-1.ts', old_string: 'a', new_string: 'b' })
    yield tool('Bash', { command: 'npm test -- --run' }, { tool_parameters: JSON.stringify({ full_command: 'npm test -- --run' }) })
  }
  yield tool('WebFetch', { url: 'https://docs.example.org/importer', prompt: 'what does the flag mean' })
  yield tell('tool_result', {
    tool_name: 'Read',
    success: 'false',
    error: 'file not found',
    tool_input: JSON.stringify({ file_path: '/home/ana/.env.example' }),
  })
}

/** Cowork on a share that a broker guards: each file by a token for its folder, now and then one that has run out. */
function* officeSession(person: Person, began: number, session: string, random: Random): Generator<Delivery> {
  const folder = random.chance(0.3) ? '/srv/share/finance' : '/srv/share/projects'
  const token = `cap-${session.slice(0, 8)}-${began % 100_000}`
  let sequence = 0
  yield claudeEvent(began, person, session, ++sequence, 'user_prompt', { prompt_length: 40, prompt: 'Sum up the reports of this quarter' })
  yield brokerEvent(began + 1_000, person, 'token.issued', {
    token_id: token,
    agent: 'cowork',
    ops: ['read'],
    target: `${folder}/**`,
    purpose: 'quarter',
    ttl_s: 300,
  })
  for (let file = 0; file < 6; file++) {
    const at = began + 2_000 + file * Math.round(random.between(10_000, 35_000))
    const path = `${folder}/report-${random.below(30)}.xlsx`
    yield brokerEvent(at, person, 'token.used', { token_id: token, op: 'read', path, decision: 'allow' })
    yield claudeEvent(at + 400, person, session, ++sequence, 'tool_result', {
      tool_name: 'Read',
      success: 'true',
      tool_input: JSON.stringify({ file_path: path }),
    })
    yield zeekFlow(at + 900, person, `C${token}${file}`, INFERENCE, 443, 60_000, 9_000)
  }
  if (random.chance(0.1)) {
    const denied = { token_id: token, op: 'read', path: `${folder}/report-1.xlsx`, decision: 'deny', reason: 'expired' }
    yield brokerEvent(began + 8 * MINUTE, person, 'token.used', denied)
  }
}
