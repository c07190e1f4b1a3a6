/** A bug, planted by replacing one passage of a source file. */
export interface Mutant {
  /** What goes wrong, in words. */
  readonly name: string
  /** From the root of the project. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** Where the hunt begins, for a bug that few lives show: 1 by default. */
  readonly from?: number
  /** Only lives on embedded logs can show it. */
  readonly embedded?: true
}

const MATCH = 'src/engine/detection/match-worker.ts'
const FEED = 'src/engine/detection/partition-feed.ts'
const CORRELATE = 'src/engine/detection/correlate-worker.ts'
const ANNOUNCER = 'src/detectors/correlation/announcer.ts'
const CORRELATOR = 'src/detectors/correlation/correlator.ts'
const CLOCK = 'src/detectors/correlation/clock.ts'
const COURSE = 'src/detectors/correlation/course.ts'
const COURSES = 'src/detectors/correlation/courses.ts'
const ADMISSION = 'src/detectors/correlation/admission.ts'
const GROUP = 'src/detectors/correlation/group.ts'

/** Bugs that the simulator has to find. Each is one that somebody could write. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'acknowledge before commit: match says how far it is before it has sent what it found',
    file: MATCH,
    find: 'for (const at of signalPartitions) records.push({',
    replace: 'for (const at of signalPartitions) records.unshift({',
  },
  {
    name: 'acknowledge before commit: ingest answers before the log has the events',
    file: 'src/engine/ingest/ingest.ts',
    find: "const appended = await settings.streams.append<EventRecord>('events', [...events, ...ticks])",
    replace: `const appended = events.map(() => ({ duplicate: false }))
      settings.streams.append('events', [...events, ...ticks]).catch(() => {})`,
  },
  {
    name: 'outbox lost: what was committed and not sent is forgotten at a restart',
    file: CORRELATE,
    find: 'await this.drain()\n    this.sound = true',
    replace: 'await this.checkpoint.drain(async () => {})\n    this.sound = true',
  },
  {
    name: 'outbox lost: what correlate sends into the signals log is synced no more than what match sends',
    from: 2_990,
    embedded: true,
    file: CORRELATE,
    find: "outbox.push({ log: 'signals', record: item })",
    replace: "outbox.push({ log: 'signals', record: { ...item, durable: undefined } })",
  },
  {
    name: 'outbox sent twice under new ids',
    file: CORRELATE,
    find: 'await this.drain()\n    this.sound = true',
    replace: `const renamed = ({ id, value, ...record }) => ({ ...record, value: value.kind === 'alert' ? { ...value, id: value.id + "'" } : value })
    await this.checkpoint.drain((log, records) => this.settings.streams.append(log, records.map(renamed)))
    this.sound = true`,
  },
  {
    name: 'wall clock in a window',
    file: FEED,
    find: 'this.stamp = Math.max(this.stamp, appended)',
    replace: 'this.stamp = Math.max(this.stamp, Date.now())',
  },
  {
    name: 'random id',
    file: 'src/detectors/correlation/revision.ts',
    find: "identity('alert', rule, unit, ...group, String(time), eventId)",
    replace: "identity('alert', rule, unit, ...group, String(time), eventId, Math.random())",
  },
  {
    name: 'duplicate counted',
    file: GROUP,
    find: 'if (copies === undefined) return this.insertFirst(signal)',
    replace: 'if (copies === undefined || signal.ingested > copies.at(-1)!.signal.ingested) return this.insertFirst(signal)',
  },
  {
    name: 'eviction on the progress of one partition instead of the minimum',
    file: CLOCK,
    find: 'least = Math.min(least, ingested)',
    replace: 'least = progress.ingested',
  },
  {
    name: 'resent signal counted after eviction',
    file: CLOCK,
    find: 'return offset <= (this.newest[depth]?.get(partition)?.offset ?? -1)',
    replace: 'return false',
  },
  {
    name: 'a course judged as its signals come',
    file: COURSES,
    find: 'const next = this.waiting.findIndex(({ entry }) => entry.signal.ingested >= clock)',
    replace: 'const next = -1',
  },
  {
    name: 'a window of a changed correlation closed as if all events had gone to it',
    file: ANNOUNCER,
    find: "if (tenures.isPartial(unit, from, to)) return [...missed, { why: 'rules' }]\n",
    replace: '\n',
  },
  {
    name: 'a window closed as if a silent source, on which the rule relies, had said nothing on purpose',
    file: ANNOUNCER,
    find: 'return [...missed, ...heeded.flatMap((silence) => silences.within(silence, unit, signal.group, from, to))]',
    replace: 'return missed',
  },
  {
    name: 'a window closed before it is known whether a source was silent in it',
    file: 'src/detectors/correlation/units.ts',
    find: '...heededBy.map((heeding) => span.sight + heeding.reach - heeding.span.sight)',
    replace: '...heededBy.map(() => 1_000)',
  },
  {
    name: 'a silence told to its own partition only',
    file: 'src/detectors/correlation/chain.ts',
    find: "({ key: '', partition: at, value, durable: true })",
    replace: "({ key: '', partition, value, durable: true })",
  },
  {
    name: 'a silence that has ended goes on',
    file: 'src/detectors/correlation/course.ts',
    find: 'if (this.last === undefined) advance.heard.push(entry)\n',
    replace: '\n',
  },
  {
    name: 'a silence told by a correlation that nothing goes to any more',
    file: ANNOUNCER,
    find: 'isAbsence && this.known.tenures.isPartial(unit, from, to)',
    replace: 'false',
  },
  {
    name: 'a place kept by a value that is forgotten, until memory is freed',
    file: COURSE,
    find: 'if (this.newest.size + 1 >= this.rule.values) this.sweep(stamp, advance)\n',
    replace: '\n',
  },
  {
    name: 'a group of a course keeps its place until memory is freed',
    file: COURSES,
    find: 'this.pass(signal.ingested, advanced)\n',
    replace: '\n',
  },
  {
    name: 'a door closed on what has come, and not on all that comes before it',
    file: 'src/detectors/correlation/room.ts',
    find: 'if (clock < from || from >= begin + room.epoch) return []',
    replace: 'if (from >= begin + room.epoch) return []',
  },
  {
    name: 'what was taken in before it was known that there is no place is kept',
    file: ADMISSION,
    find: 'for (const [key, group] of state.groups) this.giveUp(state, key, group, offset, outcome)\n',
    replace: '\n',
  },
  {
    name: 'a window closed as if there had been a place for every group',
    file: ANNOUNCER,
    find: ', ...crowds.within(unit, signal.group, from, to)',
    replace: '',
  },
  {
    name: 'that there was no place told to nobody else',
    file: CORRELATOR,
    find: '...(crowds.length === 0 ? {} : { crowds })',
    replace: '',
  },
  {
    name: 'anchor taken in arrival order',
    file: GROUP,
    find: 'let high = this.entries.length\n    if (high > 0',
    replace: 'let high = this.entries.length\n    low = high\n    if (high > 0',
  },
  {
    name: 'a revision lost on conflict',
    file: 'src/response/alerts-worker.ts',
    find: 'await record(ports, (recording) => takeSome(recording, partition, judged, ports))',
    replace: `await record(ports, (recording) => takeSome(recording, partition, judged, ports)).catch((error) => {
        if (error.code !== 'LEDGER_CONFLICT') throw error
      })`,
  },
  {
    name: 'state keyed without the group',
    file: CORRELATOR,
    find: 'return group.length === 1 ? group[0]! : JSON.stringify(group)',
    replace: "return ''",
  },
  {
    name: 'a provisional negation acting early',
    file: 'src/response/decide.ts',
    find: "  if (alert.provisional) return { decision: 'recommend', reason: 'more events could still falsify the alert' }\n",
    replace: '',
  },
  {
    name: 'tick skipped while idle',
    file: MATCH,
    find: 'tell(entries.at(-1)!.offset)',
    replace: 'if (events > 0) tell(entries.at(-1)!.offset)',
  },
  {
    name: 'bundle of the worker used instead of that of the event',
    file: MATCH,
    find: 'own: rules.detectorOf(bundle)',
    replace: 'own: rules.detectorOf(rules.active())',
  },
  {
    name: 'checkpoint restored one generation too old, without replay',
    file: 'src/streams/generations.ts',
    find: 'const rows = await rowsOf(streams, found)',
    replace: `const isOlder = (value) => value.kind === 'head' && value.generation === found.value.generation - 1
    const older = await streams.last('checkpoints', partition, isOlder)
    const rows = await rowsOf(streams, older ?? found)`,
  },
  {
    name: 'expired state used because it is still present',
    file: GROUP,
    find: 'return Math.abs(entry.signal.ingested - other.ingested) <= this.span.sight',
    replace: 'return other.ingested <= entry.signal.ingested + this.span.sight',
  },
  {
    name: 'the own progress of a chain ignored',
    file: CLOCK,
    find: 'for (let below = 0; below < depth; below++)',
    replace: 'for (let below = 0; below < 1; below++)',
  },
  {
    name: 'rev by a counter',
    file: CORRELATE,
    find: 'this.correlator.handle(record, offset)',
    replace: 'this.correlator.handle(record, (this.revs = (this.revs ?? 0) + 1))',
  },
  {
    name: 'the stamp maximum lost on restart',
    file: MATCH,
    find: 'new PartitionFeed((bundle) => reachOf(unitsOf(bundle)), ingested, feed)',
    replace: 'new PartitionFeed((bundle) => reachOf(unitsOf(bundle)), 0, feed)',
  },
]
