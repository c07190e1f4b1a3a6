import { setTimeout } from 'node:timers/promises'
import type { Inventory } from '../context/inventory.ts'
import { type ContextSources, joinContext } from '../context/join.ts'
import type { ProcessRow, ProcessTree } from '../context/process-tree.ts'
import type { Draft, Event, EventRecord } from '../event/event.ts'
import { digest, identity } from '../event/id.ts'
import { getText, type JsonObject, setPath, stringifyJson } from '../event/json.ts'
import { formatTime } from '../event/time.ts'
import { normaliserFor, recognise } from '../normalise/index.ts'
import { jsonFramer } from '../normalise/json-framer.ts'
import { type BadRecord, notNormalised, type VendorRecord } from '../normalise/normaliser.ts'
import type { Delivery, Intake, IntakeResult } from '../sources/source.ts'
import type { LogRecord, Streams } from '../streams/log.ts'
import type { CrashPoint } from './crash-point.ts'
import type { DeadLetters, RefusedRecord } from './dead-letters.ts'
import type { IngestStore } from './ingest-store.ts'

interface Settings {
  readonly streams: Streams
  readonly deadLetters: DeadLetters
  readonly tree: ProcessTree
  readonly store: IngestStore
  /** The inventory as it is now: it is read again while the engine runs. */
  readonly inventory: () => Inventory
  readonly probe: (point: CrashPoint) => void
  readonly report: (delivery: Delivery, result: IntakeResult, refused: readonly RefusedRecord[]) => void
  /** Id of the bundle of rules that is active now. */
  readonly bundle: () => string
  readonly now?: () => number
}

interface Waiting {
  readonly records: readonly LogRecord<EventRecord>[]
  readonly rows: readonly ProcessRow[]
  readonly refused: readonly RefusedRecord[]
  readonly resolve: (results: readonly { duplicate: boolean; partition: number; offset: number }[]) => void
  readonly reject: (error: unknown) => void
}

/** How long a batch waits for others to share its sync to disk. Milliseconds. */
const LINGER = 3

/**
 * The way in: vendor records → events log. A batch is acknowledged when its events, what they taught of processes, and its
 * dead letters are durable. Batches that arrive together share one transaction, so the price of an fsync is paid once.
 */
export class Ingest {
  private readonly settings: Settings
  private readonly now: () => number
  private waiting: Waiting[] = []
  /** What the process tree learned from batches that could not be stored: it holds it already, so a retry would not say it again. */
  private unsaved: readonly ProcessRow[] = []
  private flushing = false

  constructor(settings: Settings) {
    this.settings = settings
    this.now = settings.now ?? Date.now
  }

  /** The intake of one source. @param device the device of its records that name none */
  intake(device?: string): Intake {
    return {
      framer: (source) => (source === undefined ? jsonFramer() : normaliserFor(source).framer()),
      accept: (delivery) => this.accept(delivery, device),
    }
  }

  private async accept(delivery: Delivery, device: string | undefined): Promise<IntakeResult> {
    const now = this.now()
    const records: LogRecord<EventRecord>[] = []
    const rows: ProcessRow[] = []
    const refused: RefusedRecord[] = []
    const context: ContextSources = {
      inventory: this.settings.inventory(),
      tree: this.settings.tree,
      ...(device === undefined ? {} : { device }),
    }
    for (const record of delivery.records) {
      if ('reason' in record) {
        refused.push(refusal(delivery, record))
        continue
      }
      try {
        const normaliser = delivery.source === undefined ? recognise(record.value) : normaliserFor(delivery.source)
        normaliser.normalise(record.value).forEach((made, part) => {
          const draft = record.id === undefined ? made : { ...made, producerId: `${record.id}#${part}` }
          const { draft: joined, changes } = joinContext(draft, context, now)
          rows.push(...changes)
          records.push(sealed(joined, draft, eventId(delivery, record, part, draft), this.settings.bundle(), now))
        })
      } catch (error) {
        refused.push(refusal(delivery, notNormalised(record, error)))
      }
    }
    const appended = await this.append(records, rows, refused)
    await this.reportConflicts(delivery, records, appended, now)
    const duplicates = appended.filter(({ duplicate }) => duplicate).length
    // After the events: a crash in between reads them again, and the log knows them by their ids.
    if (delivery.position !== undefined) this.settings.store.savePosition(delivery.sender, delivery.position)
    const errors = refused.map(({ line, code, reason }) => ({ line, code, reason }))
    const result = { accepted: appended.length - duplicates, duplicates, deadLettered: refused.length, errors }
    this.settings.report(delivery, result, refused)
    return result
  }

  private append(
    records: Waiting['records'],
    rows: Waiting['rows'],
    refused: Waiting['refused'],
  ): Promise<readonly { duplicate: boolean; partition: number; offset: number }[]> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ records, rows, refused, resolve, reject })
      if (!this.flushing) void this.flushAll()
    })
  }

  /** One flush after another, so that the records of a device keep their order. */
  private async flushAll(): Promise<void> {
    this.flushing = true
    while (this.waiting.length > 0) {
      await setTimeout(LINGER)
      await this.flush()
    }
    this.flushing = false
  }

  private async flush(): Promise<void> {
    const batches = this.waiting
    this.waiting = []
    const rows = [...this.unsaved, ...batches.flatMap((batch) => batch.rows)]
    try {
      // Rows first: an event in the log whose ancestry is not stored could not be repaired, while rows without their event are
      // written again by the sender's retry.
      this.settings.store.putProcesses(rows)
      this.unsaved = []
      await this.settings.deadLetters.add(batches.flatMap(({ refused }) => refused))
      this.settings.probe('batch-accepted')
      const results = await this.settings.streams.append(
        'events',
        batches.flatMap(({ records }) => records),
      )
      let at = 0
      for (const { records, resolve } of batches) {
        resolve(results.slice(at, at + records.length))
        at += records.length
      }
    } catch (error) {
      this.unsaved = rows
      for (const { reject } of batches) reject(error)
    }
  }

  /** The same id with other content is no retry: somebody claims another event's place. Said as an event of its own. */
  private async reportConflicts(
    delivery: Delivery,
    records: readonly LogRecord<EventRecord>[],
    appended: readonly { duplicate: boolean; partition: number; offset: number }[],
    now: number,
  ): Promise<void> {
    const conflicts: LogRecord<EventRecord>[] = []
    for (const [at, { duplicate, partition, offset }] of appended.entries()) {
      const { value } = records[at]!
      if (!duplicate || value.kind !== 'event' || value.digest === undefined) continue
      const first = (await this.settings.streams.read<EventRecord>('events', partition, offset, 1))[0]?.value
      if (first?.kind === 'event' && first.digest !== value.digest)
        conflicts.push(conflict(delivery, value.event, value.digest, value.bundle, now))
    }
    if (conflicts.length > 0) await this.append(conflicts, [], [])
  }
}

/**
 * `hash(authenticated sender, producer's own id)`, else `hash(sender, what was sent, place in it)`: a retry has the same id,
 * and nobody can take another sender's (docs/design.md section 2, "Identity").
 */
function eventId({ sender, fileIdentity, bodyHash }: Delivery, record: VendorRecord, part: number, draft: Draft): string {
  if (draft.producerId !== undefined) return identity(sender, 'id', draft.producerId)
  if (fileIdentity !== undefined) return identity(sender, 'file', fileIdentity, record.offset, part)
  return identity(sender, 'body', bodyHash ?? '', record.offset, part)
}

function sealed(joined: Draft, original: Draft, id: string, bundle: string, now: number): LogRecord<EventRecord> {
  const ecs: JsonObject = { ...joined.ecs }
  ecs.event = { ...(ecs.event as JsonObject | undefined), id }
  if (joined.time === null) {
    // Flagged, because an ingestion time is no statement of the source.
    ecs['@timestamp'] = formatTime(now)
    ecs.labels = { ...(ecs.labels as JsonObject | undefined), time_source: 'ingested' }
  }
  const event: Event = {
    id,
    time: joined.time ?? now,
    ingested: now,
    logsource: joined.logsource,
    ecs,
    ...(joined.native === undefined ? {} : { native: joined.native }),
  }
  const key = getText(ecs, 'device.id') ?? getText(ecs, 'host.name') ?? getText(ecs, 'user.id') ?? getText(ecs, 'source.ip') ?? id
  // Only an id that the producer chose can come again with other content; the others are made of the content.
  const content =
    original.producerId === undefined ? {} : { digest: digest(stringifyJson([original.time, original.ecs, original.native ?? null])) }
  return { key, id, value: { kind: 'event', event, bundle, ...content } }
}

function conflict(delivery: Delivery, claimed: Event, content: string, bundle: string, now: number): LogRecord<EventRecord> {
  const id = identity(delivery.sender, 'conflict', claimed.id, content)
  const ecs: JsonObject = {}
  setPath(ecs, '@timestamp', formatTime(now))
  setPath(ecs, 'event.id', id)
  setPath(ecs, 'event.kind', 'alert')
  setPath(ecs, 'event.action', 'event-id-conflict')
  setPath(ecs, 'event.reason', `${delivery.sender} sent other content under the id of event ${claimed.id}`)
  setPath(ecs, 'event.reference', claimed.id)
  setPath(ecs, 'device.id', getText(claimed.ecs, 'device.id'))
  setPath(ecs, 'labels.sender', delivery.sender)
  return {
    key: getText(claimed.ecs, 'device.id') ?? id,
    id,
    value: {
      kind: 'event',
      bundle,
      event: { id, time: now, ingested: now, logsource: [{ product: 'cordon', category: 'integrity' }], ecs },
    },
  }
}

function refusal(delivery: Delivery, record: BadRecord): RefusedRecord {
  const { line, code, reason, text } = record
  const { sender, source, transport } = delivery
  return { sender, source, transport, line, code, reason, text }
}
