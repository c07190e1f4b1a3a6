import { CordonError } from '../event/error.ts'
import type { LedgerReader } from '../stores/ledger.ts'
import { type Effect, NEVER } from './effect.ts'
import { type Recording, type RecordingPorts, record } from './recording.ts'
import { apply, callOff } from './transitions.ts'

/** What was held back longer than this is not sent when actions start again: a new detection proposes it anew. Milliseconds. */
const HELD_FOR = 24 * 3_600_000
const MANY = 100_000
/** Effects that one transaction releases. */
const AT_ONCE = 200

/*
 * What an operator's command does to the ledger. A running engine sees it within a second, also from another process.
 */

/**
 * Calls an effect off: rejects what was not sent yet, asks for the undo of what was. The undo itself is the dispatcher's; to ask for
 * one that is under way changes nothing.
 *
 * @throws CordonError `EFFECT_NOT_FOUND`; `EFFECT_NOT_REVERSIBLE` where the responder cannot undo it; `EFFECT_OVER` where nothing is in force
 */
export function requestUndo(ports: RecordingPorts, id: string, by: string, reason: string): Promise<Effect> {
  return record(ports, async (recording) => {
    const effect = await found(recording, id)
    if (effect.state === 'REVERTING') return effect
    const next = callOff(effect, by, reason, recording.now)
    if (next !== undefined) return recording.effect(effect, next)
    if (!effect.reversible && effect.attempts > 0) {
      throw new CordonError('EFFECT_NOT_REVERSIBLE', `${effect.verb} through ${effect.responder} cannot be undone`, {
        hint: 'the incident says what it did; reverse it by hand where that is possible',
      })
    }
    throw new CordonError('EFFECT_OVER', `the action is ${effect.state}: there is nothing to undo`, { hint: effect.reason })
  })
}

/**
 * Sends an effect that a limit held back: it faces the guards again, passes the limits, and counts towards them.
 *
 * @throws CordonError `EFFECT_NOT_FOUND`; `EFFECT_NOT_HELD` where no limit holds it back; `EFFECT_STOPPED` while the kill switch is on
 */
export function requestRelease(ports: RecordingPorts, id: string, by: string, reason: string): Promise<Effect> {
  return record(ports, async (recording) => {
    const effect = await found(recording, id)
    if (effect.state !== 'HELD') {
      throw new CordonError('EFFECT_NOT_HELD', `the action is ${effect.state}: no limit holds it back`, { hint: effect.reason })
    }
    const { stopped } = await recording.read.guard()
    if (stopped !== undefined) {
      throw new CordonError('EFFECT_STOPPED', `actions are stopped by ${stopped.by}: ${stopped.reason}`, {
        hint: 'cordon actions start lets what was held back go on, within the limits',
      })
    }
    const released = { by, reason, at: recording.now }
    return recording.effect(effect, apply(effect, 'release', `released by ${by}: ${reason}`, { released, dueAt: recording.now }))
  })
}

async function found(recording: Recording, id: string): Promise<Effect> {
  const effect = await recording.read.effect(id)
  if (effect === undefined)
    throw new CordonError('EFFECT_NOT_FOUND', `there is no action ${id}`, { hint: 'cordon actions list shows them' })
  return effect
}

/** The kill switch: nothing that acts on the world is sent from now on. What is under way at a vendor is read back, not repeated. */
export function stopActions(ports: RecordingPorts, by: string, reason: string): Promise<void> {
  return record(ports, async (recording) => {
    const guard = await recording.read.guard()
    await recording.guard({ ...guard, version: guard.version + 1, stopped: { by, reason, at: recording.now } }, by)
    recording.notice('ACTIONS_STOPPED', `Actions are stopped by ${by}: ${reason}`)
  })
}

/**
 * Switches the kill switch off and lets what was held back try again: the guards, limits included, decide about each anew. Some at a
 * time, so that no transaction is larger than a store takes; where it is interrupted, to start once more goes on.
 */
export async function startActions(ports: RecordingPorts, by: string): Promise<Released> {
  await record(ports, async (recording) => {
    const { stopped, ...guard } = await recording.read.guard()
    if (stopped !== undefined) await recording.guard({ ...guard, version: guard.version + 1 }, by)
  })
  const held = (await ports.ledger.effects({ states: ['HELD'], limit: MANY })).map(({ id }) => id)
  let [released, expired] = [0, 0]
  for (let at = 0; at < held.length; at += AT_ONCE) {
    const some = await record(ports, (recording) => release(recording, held.slice(at, at + AT_ONCE), by))
    released += some.released
    expired += some.expired
  }
  await record(ports, async (recording) =>
    recording.notice('ACTIONS_STARTED', `Actions are on, says ${by}: ${released} held back try again, ${expired} too old`),
  )
  return { released, expired }
}

/** How many effects try again, and how many were too old for that. */
interface Released {
  readonly released: number
  readonly expired: number
}

/** Lets effects that are still held try again, or ends them. */
async function release(recording: Recording, ids: readonly string[], by: string): Promise<Released> {
  let [released, expired] = [0, 0]
  for (const id of ids) {
    const effect = await recording.read.effect(id)
    if (effect?.state !== 'HELD') continue
    if (recording.now - effect.times.proposed <= HELD_FOR) {
      released++
      await recording.effect(effect, apply(effect, 'release', `${by} let actions go on`, { dueAt: recording.now }), by)
    } else {
      expired++
      const times = { ...effect.times, ended: recording.now }
      await recording.effect(effect, apply(effect, 'expire', 'held back for more than a day', { dueAt: NEVER, times }))
    }
  }
  return { released, expired }
}

/**
 * The full id of an alert, incident or action from the beginning of it that a person typed.
 *
 * @throws CordonError `ID_NOT_FOUND`, `ID_AMBIGUOUS`
 */
export async function fullId(ledger: LedgerReader, kind: 'alert' | 'incident' | 'effect', prefix: string): Promise<string> {
  const [first, second] = await ledger.idsLike(kind, prefix.toLowerCase())
  const noun = kind === 'effect' ? 'action' : kind
  if (first === undefined || prefix === '') {
    throw new CordonError('ID_NOT_FOUND', `no ${noun} begins with "${prefix}"`, { hint: `cordon ${noun}s list shows them` })
  }
  if (second !== undefined && first !== prefix) {
    throw new CordonError('ID_AMBIGUOUS', `several ${noun}s begin with "${prefix}"`, { hint: 'type more of the id' })
  }
  return first
}
