import type { AlertRevision } from '../detectors/alert.ts'
import { DEFAULT_PLACING, type PlacingOptions, place } from '../incidents/placing.ts'
import type { Rule } from '../sigma/ast.ts'
import { type AskOpinion, type Ruling, ruleOn } from './opinion.ts'
import type { Policy } from './policy.ts'
import { propose } from './propose.ts'
import { type Recording, type RecordingPorts, record } from './recording.ts'
import type { Configured } from './vendor.ts'

const CONSUMER = 'response'
const HOUR = 3_600_000

export interface AlertsWorkerPorts extends RecordingPorts {
  /** The rule that made the alert, as it was in the bundle that the alert names. */
  readonly ruleOf: (id: string, bundle: string) => Rule | undefined
  /** Whoever put a bundle in force: the requester of what its rules ask for. */
  readonly requesterOf: (bundle: string) => string
  readonly policy: () => Policy
  /** A policy as code, asked about what the grants allow. */
  readonly opinion?: AskOpinion | undefined
  readonly responders: readonly Configured[]
  readonly placing?: PlacingOptions
  /** See {@link ProposalContext.cooldown}; an hour by default. */
  readonly cooldown?: number
  /** Called when a batch is durable: there may be something to dispatch. */
  readonly committed?: () => void
}

/** An entry of the alerts log, as far as it matters here. */
interface Entry {
  readonly offset: number
  readonly value: AlertRevision
}

/** A `PartitionHandler` of the alerts log. */
export interface AlertsWorker {
  open(partition: number): Promise<number>
  handle(partition: number, entries: readonly Entry[]): Promise<void>
  close(partition: number): Promise<void>
}

/** Alerts of one transaction: of a burst, the first are acted upon while the others are judged. */
const AT_ONCE = 50

/**
 * Consumes the alerts log. Some alerts at a time are one transaction of the ledger: their revisions and standing, incidents, proposed
 * effects, and the next offset. A batch that comes again, or a revision that is sent twice, changes nothing.
 */
export function alertsWorker(ports: AlertsWorkerPorts): AlertsWorker {
  return {
    open: async (partition) => (await ports.ledger.offset(CONSUMER, partition)) ?? 0,
    handle: async (partition, entries) => {
      for (let at = 0; at < entries.length; at += AT_ONCE) {
        const some = entries.slice(at, at + AT_ONCE)
        // Before the transaction: whoever is asked may take time.
        const judged = await Promise.all(some.map(async (entry) => ({ ...entry, rulings: await rulingsOn(entry.value, ports) })))
        await record(ports, (recording) => takeSome(recording, partition, judged, ports))
        ports.committed?.()
      }
    },
    close: async () => {},
  }
}

/** An entry, and what becomes of all that its rule asks for. */
interface Judged extends Entry {
  readonly rulings: readonly Ruling[]
}

async function rulingsOn(revision: AlertRevision, ports: AlertsWorkerPorts): Promise<readonly Ruling[]> {
  if (revision.state === 'withdrawn') return []
  return ruleOn(revision, ports.ruleOf(revision.rule.id, revision.bundle), ports.policy(), ports.opinion)
}

async function takeSome(recording: Recording, partition: number, entries: readonly Judged[], ports: AlertsWorkerPorts): Promise<void> {
  const from = (await recording.read.offset(CONSUMER, partition)) ?? 0
  const news = entries.filter((entry) => entry.offset >= from)
  // Asked together, so that a store over the network answers them together; from now on it is known.
  await Promise.all(news.map(({ value }) => recording.read.standing(value.id)))
  for (const { value, rulings } of news) await take(recording, value, rulings, ports)
  const last = news.at(-1)
  if (last !== undefined) await recording.read.putOffset(CONSUMER, partition, last.offset + 1)
}

async function take(recording: Recording, revision: AlertRevision, rulings: readonly Ruling[], ports: AlertsWorkerPorts): Promise<void> {
  const rule = ports.ruleOf(revision.rule.id, revision.bundle)
  await recording.read.addAlert(revision)
  const placement = await place(recording.read, revision, rule, ports.placing ?? DEFAULT_PLACING, recording.now)
  if (placement === undefined) return
  const { standing, before, after, fresh } = placement
  await recording.read.putStanding(standing)
  if (after !== undefined) await recording.incident(before, after)
  if (revision.state === 'withdrawn') return
  await propose(recording, revision, standing.incident, rule, rulings, fresh, {
    policy: ports.policy(),
    responders: ports.responders,
    requester: ports.requesterOf(revision.bundle),
    cooldown: ports.cooldown ?? HOUR,
  })
}
