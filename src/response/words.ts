import { formatTime } from '../event/time.ts'
import { entityName } from '../incidents/incident.ts'
import type { Verb } from '../sigma/ast.ts'
import { type Effect, type EffectState, isTelling } from './effect.ts'

/** A verb in people's words, of a target: what it is called, what is so once it is confirmed, and once it is undone. */
type Phrase = (target: string) => { readonly noun: string; readonly done: string; readonly undone: string }

const PHRASES: Readonly<Record<Verb, Phrase>> = {
  create_incident: () => ({ noun: 'Incident record', done: 'On-call has the incident', undone: 'On-call sees the incident as resolved' }),
  notify: () => ({ noun: 'Notification', done: 'Notified', undone: 'The notification is withdrawn' }),
  quarantine_device: (target) => ({
    noun: `Quarantine of ${target}`,
    done: `Quarantined: ${target}`,
    undone: `Released from quarantine: ${target}`,
  }),
  lock_device: (target) => ({ noun: `Lock of ${target}`, done: `Locked: ${target}`, undone: `Unlocked: ${target}` }),
  block_egress: (target) => ({
    noun: `Egress block of ${target}`,
    done: `Egress blocked: ${target}`,
    undone: `Egress allowed again: ${target}`,
  }),
  revoke_agent_tokens: (target) => ({
    noun: `Revocation of the tokens of ${target}`,
    done: `Tokens revoked: ${target}`,
    undone: `Tokens restored: ${target}`,
  }),
  revoke_sessions: (target) => ({
    noun: `Revocation of the sessions of ${target}`,
    done: `Sessions revoked: ${target}`,
    undone: `Sessions restored: ${target}`,
  }),
  disable_user: (target) => ({ noun: `Disabling of ${target}`, done: `Disabled: ${target}`, undone: `Enabled again: ${target}` }),
  rotate_keys: (target) => ({ noun: `Key rotation of ${target}`, done: `Keys rotated: ${target}`, undone: `Keys restored: ${target}` }),
  pause_agent: (target) => ({ noun: `Pause of ${target}`, done: `Paused: ${target}`, undone: `Running again: ${target}` }),
  collect_forensics: (target) => ({
    noun: `Evidence collection from ${target}`,
    done: `Evidence collected: ${target}`,
    undone: `Evidence removed: ${target}`,
  }),
}

/** What on-call must hear of, beyond what the incident said when it opened. */
const NEWS: ReadonlySet<EffectState> = new Set(['DENIED', 'AWAITING_APPROVAL', 'CONFIRMED', 'DEAD', 'REVERTED'])

export interface Sentence {
  readonly text: string
  /** On-call must hear of it. */
  readonly news: boolean
  /** It becomes so again with each piece of news: a story says it once and counts. */
  readonly recurs: boolean
}

/**
 * What an incident's story says about an effect that came into a new state; undefined where that is of no interest to people.
 * What only tells people is never news itself, else telling of it would have to be told.
 */
export function sentence(effect: Effect, from: EffectState | undefined): Sentence | undefined {
  if (effect.state === from || (effect.state === 'READY' && from === 'CLAIMED')) return undefined
  // Of a row of failures people hear once: it began. They hear of its end, whichever it is.
  if ((effect.state === 'UNKNOWN' || effect.state === 'RETRY_AT') && (effect.failing?.count ?? 0) > 1) return undefined
  const text = words(effect)
  if (text === undefined) return undefined
  return isTelling(effect)
    ? { text, news: false, recurs: effect.state === 'CONFIRMED' }
    : { text, news: NEWS.has(effect.state), recurs: false }
}

/** `Quarantine of device laptop-7 (d1)`. */
export function nounOf(effect: Pick<Effect, 'verb' | 'target'>): string {
  return PHRASES[effect.verb](entityName(effect.target)).noun
}

function words(effect: Effect): string | undefined {
  const { noun, done, undone } = PHRASES[effect.verb](entityName(effect.target))
  const { responder, reason } = effect
  switch (effect.state) {
    case 'SHADOWED':
      return `${noun} would have been sent to ${responder} (${reason}).`
    case 'AWAITING_APPROVAL':
      return `${noun} waits for approval${effect.approval === undefined ? '' : ` until ${formatTime(effect.approval.until)}`}: ${reason}.`
    case 'READY':
      if (effect.attempts > 0) return undefined
      return effect.approval === undefined ? `${noun} through ${responder} is under way.` : `${noun} through ${responder}: ${reason}.`
    case 'DENIED':
      return `${noun} refused: ${reason}.`
    case 'HELD':
      return `${noun} held back: ${reason}.`
    case 'REJECTED':
    case 'EXPIRED':
      return `${noun} called off: ${reason}.`
    case 'UNKNOWN':
      return `${noun}: no answer from ${responder}, reading back whether it happened.`
    case 'RETRY_AT':
      return `${noun}: ${responder} has not done it yet (${reason}), trying again.`
    case 'CONFIRMED':
      return `${done}, confirmed by ${responder} (${effect.proof ?? reason}).`
    case 'DEAD':
      return `${noun} FAILED: ${reason}. Act by hand.`
    case 'REVERTING':
      return `${noun} is being undone: ${reason}.`
    case 'REVERTED':
      return `${undone} (${reason}).`
    case 'PROPOSED':
    case 'CLAIMED':
    case 'SENT':
      return undefined
  }
}

/** A length of time in milliseconds: `one hour`, `90 seconds`. */
export function inWords(length: number): string {
  const [unit, size] = (
    [
      ['day', 86_400_000],
      ['hour', 3_600_000],
      ['minute', 60_000],
    ] as const
  ).find(([, size]) => length % size === 0) ?? ['second', 1_000]
  const count = length / size
  return count === 1 ? `one ${unit}` : `${count} ${unit}s`
}
