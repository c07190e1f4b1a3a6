import { setTimeout } from 'node:timers/promises'
import type { Inventory } from '../../context/inventory.ts'
import { type ContextSources, joinContext, type Learned } from '../../context/join.ts'
import type { Labels } from '../../context/labels.ts'
import type { Posture } from '../../context/posture.ts'
import type { ProcessTree } from '../../context/process-tree.ts'
import { CordonError } from '../../event/error.ts'
import type { Draft, Event, EventRecord } from '../../event/event.ts'
import { digest, identity } from '../../event/id.ts'
import { getText, type JsonObject, setPath, stringifyJson } from '../../event/json.ts'
import { formatTime } from '../../event/time.ts'
import { normaliserFor, recognise } from '../../normalise/index.ts'
import { jsonFramer } from '../../normalise/json-framer.ts'
import { type BadRecord, type Framer, notNormalised, type VendorRecord } from '../../normalise/normaliser.ts'
import type { Privacy } from '../../privacy/privacy.ts'
import type { Delivery, Intake, IntakeResult } from '../../sources/source.ts'
import type { LogRecord, Streams } from '../../streams/log.ts'
import type { CrashPoint } from '../crash-point.ts'
import type { DeadLetters, RefusedRecord } from './dead-letters.ts'
import type { IngestStore } from './ingest-store.ts'

interface Settings {
  readonly streams: Streams
  readonly deadLetters: DeadLetters
  readonly tree: ProcessTree
  readonly posture: Posture
  readonly store: Pick<IngestStore, 'save' | 'digestOf' | 'savePosition'>
  readonly privacy: Pick<Privacy, 'redact' | 'scrub' | 'scrubContent'>
  /** Whether a sender's word on posture counts. */
  readonly postureFrom: (sender: string) => boolean
  /** The inventory as it is now: it is read again while the engine runs. */
  readonly inventory: () => Inventory
  /** The label file as it is now. */
  readonly labels: () => Labels
  readonly probe: (point: CrashPoint) => void
  /** @param cut events with more findings than are told one by one */
  readonly report: (delivery: Delivery, result: IntakeResult, refused: readonly RefusedRecord[], cut: number) => void
  /** Id of the bundle of rules that is active now. */
  readonly bundle: () => string
  readonly now?: () => number
}

/** An event on its way into the log. */
interface Sealed {
  readonly record: LogRecord<EventRecord & { kind: 'event' }>
  readonly sender: string
  /** Of the record as it came, where its id is the producer's own: only such an id can come again with other content. */
  readonly digest: string | undefined
}

interface Waiting {
  readonly events: readonly Sealed[]
  readonly ticks: readonly LogRecord<EventRecord>[]
  readonly rows: readonly Learned[]
  readonly refused: readonly RefusedRecord[]
  /** Told for each event whether it was there before. */
  readonly resolve: (repeated: readonly boolean[]) => void
  readonly reject: (error: unknown) => void
}

/** How long a batch waits for others to share its sync to disk. Milliseconds. */
const LINGER = 3
/** How long ids may be remembered in memory alone, and how many. */
const UNSAVED_MILLISECONDS = 1_000
const UNSAVED_IDS = 20_000

/**
 * The way in: vendor records → events log. A batch is acknowledged when its events, what they taught of processes and posture, and its
 * dead letters are durable. Batches that arrive together share one transaction, so the price of an fsync is paid once.
 */
export class Ingest {
  private readonly settings: Settings
  private readonly now: () => number
  private waiting: Waiting[] = []
  /** What was learned from batches that could not be stored: memory holds it already, so a retry would not say it again. */
  private unsaved: readonly Learned[] = []
  /** What was appended under which id of a producer, and is to be remembered; a crash forgets it, which costs no more than a warning. */
  private readonly unsavedIds = new Map<string, string>()
  private savedAt = 0
  private flushing = false
  private failing = false

  constructor(settings: Settings) {
    this.settings = settings
    this.now = settings.now ?? Date.now
  }

  /** The intake of one source. @param device the device of its records that name none */
  intake(device?: string): Intake {
    return {
      framer: (source) => this.framer(source),
      accept: (delivery) => this.accept(delivery, device),
    }
  }

  /** Nothing gets in: the last append failed, and none has succeeded since. */
  get paused(): boolean {
    return this.failing
  }

  /** Resolves when every partition of the events log has the tick. It goes the way of the events: what holds them up holds it up too. */
  async tick(tick: EventRecord & { kind: 'tick' }): Promise<void> {
    const ticks = Array.from({ length: this.settings.streams.partitions('events') }, (_, partition) => ({
      key: '',
      partition,
      value: tick,
    }))
    await this.append({ events: [], ticks, rows: [], refused: [] })
  }

  private framer(source: string | undefined): Framer {
    if (source === undefined) return jsonFramer()
    try {
      return normaliserFor(source).framer()
    } catch (error) {
      if (!(error instanceof CordonError)) throw error
      // The name is the sender's: whatever it is, it goes into an answer and a dead letter.
      throw new CordonError(error.code, this.settings.privacy.scrub(error.message), error.hint === undefined ? {} : { hint: error.hint })
    }
  }

  private async accept(delivery: Delivery, device: string | undefined): Promise<IntakeResult> {
    const now = this.now()
    const bundle = this.settings.bundle()
    const events: Sealed[] = []
    const rows: Learned[] = []
    const refused: RefusedRecord[] = []
    let cut = 0
    const onCut = () => void cut++
    const { privacy } = this.settings
    const attested = this.settings.postureFrom(delivery.sender)
    const context: ContextSources = {
      inventory: this.settings.inventory(),
      labels: this.settings.labels(),
      tree: this.settings.tree,
      posture: this.settings.posture,
      ...(device === undefined ? {} : { device }),
    }
    for (const record of delivery.records) {
      if ('reason' in record) {
        refused.push(this.refusal(delivery, record))
        continue
      }
      try {
        const normaliser = delivery.source === undefined ? recognise(record.value) : normaliserFor(delivery.source)
        normaliser.normalise(record.value).forEach((made, part) => {
          const draft = identified(attested ? made : withoutAttestation(made), record, part)
          const { draft: joined, changes } = joinContext(draft, context, now)
          rows.push(...changes.map((row) => withoutSecrets(row, privacy)))
          const id = eventId(delivery, record, part, draft)
          events.push({ record: sealed(privacy.redact(joined, onCut), id, bundle, now), sender: delivery.sender, digest: contentOf(draft) })
        })
      } catch (error) {
        refused.push(this.refusal(delivery, notNormalised(record, error)))
      }
    }
    const repeated = await this.append({ events, ticks: [], rows, refused })
    const duplicates = repeated.filter((was) => was).length
    // After the events: a crash in between reads them again, and the log knows them by their ids.
    if (delivery.position !== undefined) this.settings.store.savePosition(delivery.sender, delivery.position)
    const errors = refused.map(({ line, code, reason }) => ({ line, code, reason }))
    const result = { accepted: events.length - duplicates, duplicates, deadLettered: refused.length, errors }
    this.settings.report(delivery, result, refused, cut)
    return result
  }

  /** Why a record was refused is answered, logged and kept, and may quote it. */
  private refusal({ sender, source, transport }: Delivery, { line, code, reason, text }: BadRecord): RefusedRecord {
    return { sender, source, transport, line, code, reason: this.settings.privacy.scrub(reason), text }
  }

  private append(batch: Omit<Waiting, 'resolve' | 'reject'>): Promise<readonly boolean[]> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ ...batch, resolve, reject })
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
    const { settings } = this
    const batches = this.waiting
    this.waiting = []
    const rows = [...this.unsaved, ...batches.flatMap((batch) => batch.rows)]
    try {
      const claimed = new Map<string, string>()
      const judged = batches.map(({ events }) => events.map((event) => this.judge(event, claimed)))
      // Rows first: an event in the log whose ancestry is not stored could not be repaired, while rows without their event are
      // written again by the sender's retry.
      this.save(rows)
      await settings.deadLetters.add(batches.flatMap(({ refused }) => refused))
      const events = judged.flatMap((batch) => batch.map(({ record }) => record))
      if (events.length > 0) settings.probe('batch-accepted')
      const ticks = batches.flatMap((batch) => batch.ticks)
      const appended = await settings.streams.append<EventRecord>('events', [...events, ...ticks])
      for (const [id, digest] of claimed) this.unsavedIds.set(id, digest)
      this.failing = false
      let at = 0
      for (const [index, { resolve }] of batches.entries()) resolve(judged[index]!.map(({ known }) => appended[at++]!.duplicate || known))
    } catch (error) {
      this.unsaved = rows
      this.failing = true
      for (const { reject } of batches) reject(error)
    }
  }

  /** One synced transaction, and none where nothing is worth it yet. */
  private save(rows: readonly Learned[]): void {
    const now = this.now()
    const due = this.unsavedIds.size > UNSAVED_IDS || (this.unsavedIds.size > 0 && now - this.savedAt >= UNSAVED_MILLISECONDS)
    if (rows.length > 0 || due) {
      this.settings.store.save(rows, this.unsavedIds, now)
      this.unsavedIds.clear()
      this.savedAt = now
    }
    this.unsaved = []
  }

  /**
   * The same id with the same content is a retry, which the log or its readers recognise. With other content somebody claims another
   * event's place: what was there stays, and what was tried is said as an event of its own.
   *
   * @param claimed what this flush is about to append, by producers' ids
   */
  private judge({ record, sender, digest }: Sealed, claimed: Map<string, string>): { record: LogRecord<EventRecord>; known: boolean } {
    if (digest === undefined) return { record, known: false }
    const { event, bundle } = record.value
    const now = this.now()
    const first = claimed.get(event.id) ?? this.unsavedIds.get(event.id) ?? this.settings.store.digestOf(event.id, now)
    if (first === undefined) {
      claimed.set(event.id, digest)
      return { record, known: false }
    }
    return { record: first === digest ? record : conflict(sender, event, digest, bundle, now), known: true }
  }
}

/** A record that its place names, whatever its contents, has that name. */
function identified(draft: Draft, record: VendorRecord, part: number): Draft {
  return record.id === undefined ? draft : { ...draft, producerId: `${record.id}#${part}` }
}

function withoutAttestation({ attests: _, ...draft }: Draft): Draft {
  return draft
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

function sealed(joined: Draft, id: string, bundle: string, now: number): Sealed['record'] {
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
  return { key, id, value: { kind: 'event', event, bundle } }
}

/** Only an id that the producer chose can come again with other content; the others are made of the content. */
function contentOf({ producerId, time, ecs, native }: Draft): string | undefined {
  return producerId === undefined ? undefined : digest(stringifyJson([time, ecs, native ?? null])).slice(0, 32)
}

function conflict(sender: string, claimed: Event, content: string, bundle: string, now: number): LogRecord<EventRecord> {
  const id = identity(sender, 'conflict', claimed.id, content)
  const ecs: JsonObject = {}
  setPath(ecs, '@timestamp', formatTime(now))
  setPath(ecs, 'event.id', id)
  setPath(ecs, 'event.kind', 'alert')
  setPath(ecs, 'event.action', 'event-id-conflict')
  setPath(ecs, 'event.reason', `${sender} sent other content under the id of event ${claimed.id}`)
  setPath(ecs, 'event.reference', claimed.id)
  setPath(ecs, 'device.id', getText(claimed.ecs, 'device.id'))
  setPath(ecs, 'labels.sender', sender)
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

/** What is learned of devices, people and processes is stored, too. Whom it is about stays. */
function withoutSecrets(row: Learned, privacy: Pick<Privacy, 'scrub' | 'scrubContent'>): Learned {
  if ('subject' in row) {
    const observations = row.observations.map((observation) => ({ ...observation, of: privacy.scrubContent(observation.of) }))
    return { ...row, subject: privacy.scrubContent(row.subject), observations }
  }
  return { ...row, device: privacy.scrubContent(row.device), executable: row.executable && privacy.scrub(row.executable) }
}
