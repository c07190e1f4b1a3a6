import { setTimeout as sleep } from 'node:timers/promises'
import type { AlertRevision, Evidence } from '../src/detectors/alert.ts'
import type { EngineObserver } from '../src/engine/observer.ts'
import { messageOf } from '../src/event/error.ts'
import { shortId } from '../src/incidents/incident.ts'
import type { Effect } from '../src/response/effect.ts'
import type { Change } from '../src/response/recording.ts'
import { type Delivery, freshSession } from './session.ts'
import type { Site } from './site.ts'
import { say, style } from './terminal.ts'

/** Longest wait for the end of the story. Milliseconds. */
const PATIENCE = 30_000
const LABEL = 9
const INDENT = ' '.repeat(2 + 8 + 2 + LABEL + 2)

/** Tells what the engine does, line by line, as it happens: during the story and for as long as the lab serves. */
export class Narrator implements EngineObserver {
  #began = Date.now()
  readonly #known = new Set<string>()
  readonly #confirmed = new Map<Effect['verb'], Effect>()
  #news: () => void = () => {}

  /** Counts the seconds in front of each line from now. */
  begin(): void {
    this.#began = Date.now()
  }

  tell(label: string, text: string, format: Parameters<typeof style>[0] = 'cyan'): void {
    const seconds = `${((Date.now() - this.#began) / 1_000).toFixed(2)} s`.padStart(8)
    say(`  ${style('dim', seconds)}  ${style(format, label.padEnd(LABEL))}  ${text}`)
  }

  onAlert(revision: AlertRevision): void {
    const { id, rule, state, evidence } = revision
    if (state !== 'open' || this.#known.has(id)) return
    this.#known.add(id)
    this.tell('ALERT', `${style('bold', rule.title)} (${rule.level})`, ['red', 'bold'])
    for (const line of because(evidence)) say(INDENT + line)
    const about = aboutOf(revision)
    if (about !== '') say(INDENT + style('dim', about))
  }

  onChange(change: Change): void {
    if (change.kind === 'incident') {
      const { before, incident } = change
      const name = shortId(incident.id)
      if (before === undefined) this.tell('incident', `${name} open: ${incident.title}`, 'yellow')
      else if (before.status !== incident.status) this.tell('incident', `${name} ${incident.status}`, 'yellow')
      else if (before.alerts !== incident.alerts) this.tell('incident', `${name} has ${incident.alerts} alerts now`, 'yellow')
    } else if (change.kind === 'effect') this.#effect(change.before, change.effect)
    this.#news()
  }

  onError(where: string, error: unknown): void {
    this.tell('error', `${where}: ${messageOf(error)}`, 'red')
  }

  /** Belongs in the log, not in the story. */
  onNote(): void {}

  /** The effect of a verb, once it has been read back. */
  async confirmed(verb: Effect['verb'], deadline: number): Promise<Effect | undefined> {
    for (;;) {
      const effect = this.#confirmed.get(verb)
      const left = deadline - Date.now()
      if (effect !== undefined || left <= 0) return effect
      await Promise.race([new Promise<void>((resolve) => (this.#news = resolve)), sleep(left, undefined, { ref: false })])
    }
  }

  #effect(before: Effect | undefined, effect: Effect): void {
    const { verb, state, times, proof, reason } = effect
    const { label, accepted, confirmed, reverted } = WORDS[verb] ?? { label: verb }
    if (times.accepted !== undefined && before?.times.accepted === undefined && accepted !== undefined) this.tell(label, accepted)
    if (state === before?.state) return
    if (state === 'CONFIRMED' && before?.times.confirmed === undefined) {
      this.tell(label, style('green', confirmed ?? 'confirmed'))
      if (verb === 'quarantine_device') say(INDENT + style('dim', proof ?? ''))
    } else if (state === 'REVERTED') this.tell(label, style('green', reverted ?? 'undone'))
    else if (state === 'DEAD' || state === 'DENIED' || state === 'HELD' || state === 'AWAITING_APPROVAL') {
      this.tell(label, style('red', `${state.toLowerCase().replace('_', ' ')}: ${reason}`))
    }
    if (state === 'CONFIRMED') this.#confirmed.set(verb, effect)
  }
}

interface Words {
  readonly label: string
  readonly accepted?: string
  readonly confirmed?: string
  readonly reverted?: string
}

const WORDS: Partial<Record<Effect['verb'], Words>> = {
  quarantine_device: {
    label: 'MDM',
    accepted: 'accepts the quarantine profile and wakes the device',
    confirmed: 'DEVICE QUARANTINED: it installed the profile, and lists it',
    reverted: 'device released: it no longer lists the profile',
  },
  revoke_agent_tokens: { label: 'tokens', confirmed: 'REVOKED: the token server knows none of them any more' },
  create_incident: { label: 'paging', confirmed: 'ON-CALL HAS IT: the paging server lists the incident' },
}

/** Each condition with the value that met it; what several events say alike is said once. */
function because(evidence: readonly Evidence[]): readonly string[] {
  const parts = evidence.flatMap(({ facts }) => facts)
  const width = Math.max(0, ...parts.flatMap(({ facts }) => facts.map(({ test }) => test.length)))
  const lines = parts.flatMap(({ title, facts }) => [
    title,
    ...facts.map(({ test, value }) => `  ${test.padEnd(width)}  ${style('dim', '←')} ${style('bold', value)}`),
  ])
  return [...new Set(lines)]
}

/** What else is known of the event that completed it. */
function aboutOf({ entities }: AlertRevision): string {
  const facts = entities[0]?.facts ?? {}
  const parts = {
    on: facts['device.id'],
    user: facts['user.name'],
    process: facts['process.executable'],
    destination: facts['destination.ip'] && `${facts['destination.ip']}:${facts['destination.port']}`,
  }
  return Object.entries(parts)
    .flatMap(([name, value]) => (value === undefined ? [] : `${name} ${value}`))
    .join(' · ')
}

/**
 * Plays the recorded session into the lab and tells what comes of it.
 *
 * @returns the quarantine, if everything that the rule asked for was done and read back
 */
export async function tellStory(site: Site, narrator: Narrator): Promise<Effect | undefined> {
  const session = freshSession(Date.now())
  const { token } = site.broker.mint({ device: site.deviceNamed(session.host), agent: session.agent })
  narrator.begin()
  narrator.tell('token', `the agent's capability token works: ${await tryToken(site, token)}`)
  let said: string | undefined
  for (const delivery of session.deliveries) {
    await sleep(Math.max(0, delivery.at - Date.now()), undefined, { ref: false })
    if (delivery.says !== undefined && delivery.says !== said) narrator.tell('event', delivery.says)
    said = delivery.says
    await deliver(site, delivery, narrator)
  }
  const deadline = Date.now() + PATIENCE
  const quarantine = await narrator.confirmed('quarantine_device', deadline)
  const revoked = await narrator.confirmed('revoke_agent_tokens', deadline)
  const paged = await narrator.confirmed('create_incident', deadline)
  narrator.tell('token', `the same token again: ${await tryToken(site, token)}`)
  if (quarantine === undefined || revoked === undefined || paged === undefined) {
    narrator.tell('lab', style('red', `not everything was done in time; see ${site.logFile}`), 'red')
    return undefined
  }
  const { event, accepted, confirmed } = quarantine.times
  say()
  say(
    `  ${style('bold', 'Time to contain')}, from the connect: accepted by the MDM after ${style('bold', `${Math.round(accepted! - event)} ms`)}, ` +
      `confirmed by the device after ${style('bold', `${Math.round(confirmed! - event)} ms`)}`,
  )
  return quarantine
}

async function deliver(site: Site, { path, type, body, records }: Delivery, narrator: Narrator): Promise<void> {
  const response = await fetch(site.engine.ingestUrl + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${site.keys.ingest}`, 'content-type': type },
    body,
  })
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`)
  if (path === '/v1/logs') narrator.tell('events', `${records} records of the agent's own telemetry in (POST /v1/logs)`)
  else if (records > 1) narrator.tell('events', `${records} kernel audit events in (POST ${path})`)
}

/** What the token server says to whoever holds the token: 200, or 403 once it is dead. */
async function tryToken(site: Site, token: string): Promise<string> {
  const { status } = await fetch(`${site.broker.url}/v1/auth/token/lookup-self`, { headers: { 'x-vault-token': token } })
  return status === 200 ? style('green', '200 OK') : style('green', `${status} permission denied`)
}
