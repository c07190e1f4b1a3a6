import type { EventRecord } from '../../event/event.ts'
import { getText } from '../../event/json.ts'
import { formatTime } from '../../event/time.ts'
import type { LogEntry, LogName, Streams } from '../../streams/log.ts'
import type { DeadLetter } from '../ingest/dead-letters.ts'
import { newestProgress, nodesOf } from '../ingest/ingest-nodes.ts'
import { type Diagnosis, ok, problem, warning } from './diagnosis.ts'

/** Entries that are looked at, from the end of a log. */
const TAIL = 20_000
const PIECE = 1_000
const SECOND = 1_000
const MINUTE = 60_000
const DAY = 86_400_000
/** A source that sent so many events at least has a rhythm. */
const RHYTHMIC = 10
/** Silence is odd when it is so many times longer than the time between two of its events, and no shorter than this. */
const ODD_GAPS = 20
const SHORTEST_SILENCE = 15 * MINUTE
/** What clocks may disagree by. */
const CLOCK_SKEW = MINUTE
/** Match is behind when it has not come to what was appended so long before the newest entry. */
const BEHIND = 30 * SECOND

/** What the logs tell of the sources, the detectors' progress and the clocks: the same whether the node runs or not. */
export async function logChecks(streams: Streams): Promise<readonly Diagnosis[]> {
  const events = await tailOf<EventRecord>(streams, 'events')
  const newest = events.reduce((latest, { appended }) => Math.max(latest, appended), 0)
  if (newest === 0) return [warning('events', 'the events log is empty', 'docs/guides/sources/README.md says how events come in')]
  return [
    clockCheck(newest),
    ...sourceChecks(events, newest),
    ...(await matchChecks(streams, newest)),
    ...deadLetterChecks(await tailOf<DeadLetter>(streams, 'dead-letters')),
  ]
}

/** The last entries of each partition, up to {@link TAIL} of them all. */
async function tailOf<T>(streams: Streams, log: LogName): Promise<readonly LogEntry<T>[]> {
  const found: LogEntry<T>[] = []
  const partitions = streams.partitions(log)
  const share = Math.ceil(TAIL / partitions)
  for (let partition = 0; partition < partitions; partition++) {
    const last = await streams.last<T>(log, partition, () => true)
    if (last === undefined) continue
    for (let from = Math.max(0, last.offset - share + 1); from <= last.offset; ) {
      const piece = await streams.read<T>(log, partition, from, PIECE)
      if (piece.length === 0) break
      found.push(...piece)
      from = piece.at(-1)!.offset + 1
    }
  }
  return found
}

function clockCheck(newest: number): Diagnosis {
  const ahead = newest - Date.now()
  if (ahead <= CLOCK_SKEW) return ok('clock', `not behind the logs, whose newest entry is of ${formatTime(newest)}`)
  return problem(
    'clock',
    `the newest entry of the logs is stamped ${lasting(ahead)} in the future: the clock here was set back, or a broker's is ahead`,
    'set the clocks by NTP; windows close, and limits count, by these stamps',
  )
}

/** How one source came in lately. */
interface Rhythm {
  events: number
  first: number
  last: number
  /** From each event's own time to its ingestion. Milliseconds. */
  readonly delays: number[]
}

function sourceChecks(entries: readonly LogEntry<EventRecord>[], newest: number): readonly Diagnosis[] {
  const rhythms = new Map<string, Rhythm>()
  let oldest = newest
  for (const { value, appended } of entries) {
    oldest = Math.min(oldest, appended)
    if (value.kind !== 'event') continue
    const { ecs, time, ingested } = value.event
    const source = getText(ecs, 'event.dataset') ?? 'events without a dataset'
    const rhythm = rhythms.get(source) ?? { events: 0, first: ingested, last: ingested, delays: [] }
    rhythms.set(source, rhythm)
    rhythm.events++
    rhythm.first = Math.min(rhythm.first, ingested)
    rhythm.last = Math.max(rhythm.last, ingested)
    if (time !== null) rhythm.delays.push(ingested - time)
  }
  if (rhythms.size === 0)
    return [
      warning('sources', `no event came in the last ${lasting(newest - oldest)}`, 'docs/guides/sources/README.md says how events come in'),
    ]
  return [...rhythms].sort(([a], [b]) => (a < b ? -1 : 1)).map(([source, rhythm]) => rhythmCheck(source, rhythm, newest, newest - oldest))
}

function rhythmCheck(source: string, { events, first, last, delays }: Rhythm, newest: number, span: number): Diagnosis {
  const check = `source ${source}`
  const silence = newest - last
  const delay = median(delays)
  const rate = (events / Math.max(span, MINUTE)) * MINUTE
  const said = [
    `${events} events in ${lasting(span)} (${rate < 10 ? rate.toFixed(1) : Math.round(rate)} a minute)`,
    `the last ${lasting(silence)} before the newest entry of the log`,
    ...(delay === undefined
      ? ['none with a time of its own']
      : [`taken in ${delay < 0 ? `${lasting(-delay)} before` : `${lasting(delay)} after`} they happened`]),
  ].join(', ')
  const gap = (last - first) / Math.max(events - 1, 1)
  if (events >= RHYTHMIC && silence > SHORTEST_SILENCE && silence > ODD_GAPS * gap)
    return warning(
      check,
      `silent: ${said}`,
      'is its exporter on, its network up, its token valid? Its guide under docs/guides/sources says what to switch on',
    )
  if (delay !== undefined && delay < -CLOCK_SKEW)
    return warning(check, `its clock is ahead of ours: ${said}`, 'set the clocks of the source and of this machine by NTP')
  return ok(check, said)
}

async function matchChecks(streams: Streams, newest: number): Promise<readonly Diagnosis[]> {
  const found: Diagnosis[] = []
  let slowest = newest
  for (let partition = 0; partition < streams.partitions('events'); partition++)
    slowest = Math.min(slowest, (await newestProgress(streams, partition))?.ingested ?? 0)
  const lag = newest - slowest
  if (slowest === 0) found.push(warning('match', 'nothing has been matched yet', 'start a node with the role match'))
  else if (lag > BEHIND)
    found.push(
      warning(
        'match',
        `${lasting(lag)} behind the events log`,
        'is a node with the role match running? Look at cordon_log_lag and its log',
      ),
    )
  else found.push(ok('match', `${lasting(lag)} behind the events log`))
  for (const { node, state, heard } of await nodesOf(streams)) {
    const check = `ingest node ${node}`
    if (state === 'alive') found.push(ok(check, `heard ${formatTime(heard)}`))
    else
      found.push(
        warning(
          check,
          `${state} since ${formatTime(heard)}: rules that ask for absence do not act until it is heard`,
          `start it again; if it is gone for good: cordon nodes retire ${node}`,
        ),
      )
  }
  return found
}

function deadLetterChecks(entries: readonly LogEntry<DeadLetter>[]): readonly Diagnosis[] {
  const reasons = new Map<string, { count: number; last: LogEntry<DeadLetter> }>()
  for (const entry of entries) {
    if (entry.appended < Date.now() - DAY) continue
    const { source = 'recognised', code } = entry.value
    const key = `${source} ${code}`
    reasons.set(key, { count: (reasons.get(key)?.count ?? 0) + 1, last: entry })
  }
  if (reasons.size === 0) return [ok('dead letters', 'none in the last day')]
  return [...reasons].map(
    ([
      key,
      {
        count,
        last: { value, appended },
      },
    ]) =>
      warning(
        'dead letters',
        `${count} of ${key} in the last day, the last of ${value.sender} at ${formatTime(appended)}: ${value.reason}`,
        `docs/reference/errors.md has ${value.code}; "cordon classify" says what a sample is`,
      ),
  )
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
}

/** `3 s`, `12 min`, `5 h`, `2 d`: as people say it. */
function lasting(milliseconds: number): string {
  const units = [
    [DAY, 'd'],
    [60 * MINUTE, 'h'],
    [MINUTE, 'min'],
  ] as const
  const [size, unit] = units.find(([length]) => milliseconds >= 2 * length) ?? [SECOND, 's']
  return `${Math.round(milliseconds / size)} ${unit}`
}
