import { Inventory } from '../../context/inventory.ts'
import { type ContextSources, joinContext } from '../../context/join.ts'
import { Posture } from '../../context/posture.ts'
import type { AlertRevision } from '../../detectors/alert.ts'
import { Correlator, type CorrelatorOptions } from '../../detectors/correlation/correlator.ts'
import { groupsOf } from '../../detectors/correlation/room.ts'
import { compileDetector, type Detector } from '../../detectors/detector.ts'
import { type Failure, firstFailure } from '../../detectors/match/explain.ts'
import type { Signal, SignalRecord } from '../../detectors/signal.ts'
import type { Draft, Event } from '../../event/event.ts'
import { identity } from '../../event/id.ts'
import { getPath, stringifyJson } from '../../event/json.ts'
import { parseTime } from '../../event/time.ts'
import { normaliserFor, recognise } from '../../normalise/index.ts'
import { jsonFramer } from '../../normalise/json-framer.ts'
import {
  type BadRecord,
  type Framer,
  type InputLine,
  type Normaliser,
  notNormalised,
  type RecordProblem,
  type VendorRecord,
} from '../../normalise/normaliser.ts'
import { Privacy } from '../../privacy/privacy.ts'
import type { CorrelationRule, Rule, RuleSet } from '../../sigma/ast.ts'
import { agentTree } from '../rules/rules.ts'
import { openLines } from './input.ts'

/** Lines or documents between two words about progress. */
const PROGRESS = 50_000

export interface ReplayReports {
  readonly onBadRecord: (record: RecordProblem) => void
  /** Rules that are asked for why they did not match: of a detection each event is told of, of a correlation those for which it had no place. */
  readonly whyNot: readonly Rule[]
  readonly onWhyNot: (answer: WhyNot) => void
  /** Called with the number of lines or documents read, now and then. */
  readonly onProgress: (read: number) => void
}

export interface ReplaySettings extends ReplayReports {
  readonly detector: Detector
  /** The normaliser of every record; recognised record by record where it is left out. */
  readonly normaliser: Normaliser | undefined
  /** What events are joined with. */
  readonly context: ContextSources
  /** Takes out, and counts, what ingest does: rules are about the count. */
  readonly privacy: Pick<Privacy, 'redact'>
  /** The detector takes every event as belonging to every log source, so why-not must not blame the log source. */
  readonly anyLogsource?: boolean
}

export interface ReplayOptions extends ReplayReports {
  /** Source name, such as `linux.auditd`. */
  readonly source?: string
  readonly anyLogsource: boolean
  readonly factless: boolean
}

/**
 * Why a rule did not match an event: the first condition that failed; or that it did match. Of a correlation, that it had no place for
 * the group of an event that matched below.
 */
export interface WhyNot {
  readonly line: number
  readonly rule: Rule
  readonly failure: Failure | undefined
}

/** Some of what is replayed: records, and how many lines or documents they were cut out of. */
export interface ReplayPiece {
  readonly read: number
  readonly records: readonly (VendorRecord | BadRecord)[]
}

export interface ReplayResult {
  /** The alert set in its last revisions, by (time, id). */
  readonly alerts: readonly AlertRevision[]
  /** Lines or documents. */
  readonly read: number
  readonly events: number
  readonly bad: number
}

/**
 * Replays a file (`-`: standard input) through the rules, with agents recognised by their processes' ancestry.
 *
 * @throws CordonError `INPUT_UNREADABLE`, `SOURCE_UNKNOWN`
 */
export function replayFile(
  file: string,
  rules: RuleSet,
  { source, anyLogsource, factless, ...reports }: ReplayOptions,
): Promise<ReplayResult> {
  return replay(openLines(file), {
    ...reports,
    anyLogsource,
    detector: compileDetector(rules, { anyLogsource, factless }),
    normaliser: source === undefined ? undefined : normaliserFor(source),
    context: { inventory: Inventory.EMPTY, tree: agentTree(rules), posture: new Posture(), recorded: true },
    privacy: Privacy.DEFAULT,
  })
}

/** A signal before it is known by which clock the file was ingested. */
interface Matched {
  readonly signal: Signal
  readonly stamped: number | null
}

/** As {@link replayPieces}, of lines. */
export function replay(input: AsyncIterable<InputLine>, settings: ReplaySettings): Promise<ReplayResult> {
  return replayPieces(piecesOf(input, settings.normaliser?.framer() ?? jsonFramer()), settings)
}

async function* piecesOf(lines: AsyncIterable<InputLine>, framer: Framer): AsyncGenerator<ReplayPiece> {
  for await (const line of lines) yield { read: 1, records: framer.push(line, 0) }
  yield { read: 0, records: framer.flush() }
}

/**
 * Recorded events → the alert set, by the engine's own detectors; it can never act. All input is matched first and its
 * signals sorted, then correlated, so their order means nothing. `event.ingested` counts where every record has
 * it; else each event was ingested when it happened (docs/design.md section 5, "File replay").
 */
export async function replayPieces(pieces: AsyncIterable<ReplayPiece>, settings: ReplaySettings): Promise<ReplayResult> {
  const matched: Matched[] = []
  const copies = new Map<string, number>()
  let read = 0
  let events = 0
  let bad = 0
  let everyStamped = true
  let last = { stamped: Number.NEGATIVE_INFINITY, happened: Number.NEGATIVE_INFINITY }
  const { anyLogsource = false } = settings
  const asked = settings.whyNot.filter((rule) => rule.kind === 'detection')

  const reject = (record: RecordProblem) => {
    bad++
    settings.onBadRecord(record)
  }
  const take = (record: VendorRecord) => {
    let drafts: readonly Draft[]
    try {
      drafts = (settings.normaliser ?? recognise(record.value)).normalise(record.value)
    } catch (error) {
      reject(notNormalised(record, error))
      return
    }
    drafts.forEach((draft, index) => {
      events++
      const stamped = parseTime(getPath(draft.ecs, 'event.ingested'))
      everyStamped &&= stamped !== null
      last = { stamped: Math.max(last.stamped, stamped ?? last.stamped), happened: Math.max(last.happened, draft.time ?? last.happened) }
      const id = record.id === undefined ? (draft.producerId ?? copyId(record, index, copies)) : identity(record.id, index)
      const event = seal(settings.privacy.redact(joinContext(draft, settings.context, 0).draft), id, stamped)
      for (const rule of asked) settings.onWhyNot({ line: record.line, rule, failure: firstFailure(rule, event, { anyLogsource }) })
      for (const signal of settings.detector.detect(event, { partition: 0, offset: record.line })) matched.push({ signal, stamped })
    })
  }

  let told = 0
  for await (const piece of pieces) {
    read += piece.read
    for (const record of piece.records) 'reason' in record ? reject(record) : take(record)
    if (read - told < PROGRESS) continue
    settings.onProgress(read)
    told = read
  }

  const refused: WhyNot[] = []
  const onRefused = (rule: CorrelationRule, signal: Signal) => {
    if (settings.whyNot.some(({ id }) => id === rule.id)) refused.push(noPlace(rule, signal))
  }
  const until = everyStamped ? last.stamped : last.happened
  const alerts = correlate(settings.detector, matched, everyStamped, until, onRefused)
  for (const answer of refused.sort((a, b) => a.line - b.line)) settings.onWhyNot(answer)
  return { alerts, read, events, bad }
}

function noPlace(rule: CorrelationRule, { group, offset }: Signal): WhyNot {
  const value = rule.groupBy.map((field, at) => `${field}=${group[at]}`).join(' ')
  const text = `no place for a further group: the rule takes ${groupsOf(rule)} (x-cordon: groups)`
  return { line: offset, rule, failure: { text, selection: 'groups', value, where: rule.where } }
}

/** @param until the last stamp of the input */
function correlate(
  detector: Detector,
  matched: readonly Matched[],
  stamped: boolean,
  until: number,
  onRefused: NonNullable<CorrelatorOptions['onRefused']>,
): readonly AlertRevision[] {
  const signals = matched
    .map(({ signal, stamped: own }) => ({ ...signal, ingested: (stamped ? own : signal.time) ?? 0 }))
    .sort(
      (a, b) =>
        a.ingested - b.ingested ||
        (a.time ?? 0) - (b.time ?? 0) ||
        (a.eventId < b.eventId ? -1 : a.eventId > b.eventId ? 1 : a.offset - b.offset),
    )
  const correlator = new Correlator({ rulesOf: () => detector.rules, partition: 0, eventPartitions: 1, signalPartitions: 1, onRefused })
  const alerts = new Map<string, AlertRevision>()
  const fold = (revision: AlertRevision) => {
    // A copy of an event names the same single-event alert again: the first is the one that counts.
    const isCopy = alerts.has(revision.id) && detector.isSingle(revision.rule.id)
    if (!isCopy) alerts.set(revision.id, revision)
  }
  // What correlations pass on to those above them comes back at once, as if it stood next in the signals log.
  let offset = 0
  const handle = (record: SignalRecord) => {
    const { revisions, chained } = correlator.handle(record, offset++)
    for (const revision of revisions) fold(revision)
    for (const { value } of chained) handle(value)
  }
  for (const signal of signals) handle(signal)
  const { revisions, chained } = correlator.judge(offset++, until)
  for (const revision of revisions) fold(revision)
  for (const { value } of chained) handle(value)
  for (const revision of correlator.end(offset)) fold(revision)
  return [...alerts.values()].filter(({ state }) => state === 'open').sort(byTimeAndId)
}

/** Alerts of events without a time come first, whatever else the file has. */
function byTimeAndId(a: AlertRevision, b: AlertRevision): number {
  const timeOf = (alert: AlertRevision) => (isTimeless(alert) ? Number.NEGATIVE_INFINITY : alert.time)
  const [first, second] = [timeOf(a), timeOf(b)]
  return first === second ? (a.id < b.id ? -1 : 1) : first - second
}

/** The alert's event names no time: its `time` says only when it was ingested. */
export function isTimeless({ evidence }: AlertRevision): boolean {
  return evidence.every(({ time }) => time === null)
}

function seal(draft: Draft, id: string, stamped: number | null): Event {
  const { time, logsource, ecs, native } = draft
  return { id, time, ingested: stamped ?? time ?? 0, logsource, ecs, ...(native === undefined ? {} : { native }) }
}

/** A record without an id is named by its contents and which identical copy it is, so a shuffled file gives the same ids. */
function copyId(record: VendorRecord, index: number, copies: Map<string, number>): string {
  const content = identity(stringifyJson(record.value), index)
  const copy = copies.get(content) ?? 0
  copies.set(content, copy + 1)
  return copy === 0 ? content : identity(content, copy)
}
