import type { Receipt } from '../responders/responder.ts'
import { type RecordingPorts, record } from './recording.ts'
import { amend } from './transitions.ts'

const MANY = 10_000

/** Keeps what a vendor's webhook brought, and makes the effects that wait for it due: whichever node dispatches looks at them again. */
export async function keepReceipts(ports: RecordingPorts, responder: string, receipts: readonly Receipt[]): Promise<void> {
  const awaits = [...new Set(receipts.map(({ key }) => key))]
  await record(ports, async (recording) => {
    await recording.read.addReceipts(responder, receipts)
    for (const effect of await recording.read.effects({ responder, awaits, states: ['SENT', 'UNKNOWN', 'REVERTING'], limit: MANY })) {
      // Whoever is at work on it looks for receipts when it is done.
      if (effect.lease === undefined) await recording.effect(effect, amend(effect, { dueAt: Math.min(effect.dueAt, recording.now) }))
    }
  })
}
