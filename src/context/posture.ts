/** What is known of a device (the first three) or of a user's sign-ins. */
export const DEVICE_FACTS = ['enrolled', 'compliant', 'disk_encrypted'] as const
export type Fact = (typeof DEVICE_FACTS)[number] | 'mfa'

/** A posture source said at `time` (milliseconds since the epoch) that a fact holds or not. */
export interface Observation {
  readonly time: number
  readonly value: boolean
  /** The source's name. */
  readonly source: string
  /** Of which device or user, by its own id: several may share a host name. */
  readonly of: string
}

/** One fact of one name, as ingest's database keeps it. Without observations: forget the row. */
export interface PostureRow {
  /** `device` or `user`, a space, and the name in lower case. */
  readonly subject: string
  readonly fact: Fact
  /** By time. */
  readonly observations: readonly Observation[]
}

/** A fact as of a time. */
export interface Known {
  readonly value: boolean
  readonly source: string
  /** The latest time, not after the one asked for, at which it was known. Milliseconds. */
  readonly observed: number
}

export interface PostureLimits {
  /** Names of devices and users; beyond it the one of which nothing was learned for longest goes. Default 100,000. */
  readonly names?: number
}

/** Observations of one fact of one name. When there are more, those are forgotten that said nothing new, then the oldest. */
const MOST_OBSERVATIONS = 32
/** A name that several devices had within this time says of none of them how it is. */
const SHARED_NAME = 7 * 86_400_000

/** What is known under one name. */
type Facts = Map<Fact, readonly Observation[]>

/**
 * What posture sources observed of devices and users, and when: answers as of an event's time, so that an event that comes in late is not
 * judged by what was seen after it.
 */
export class Posture {
  private readonly limit: number
  /** In the order in which they were learned, so that the first is the one to evict. */
  private readonly subjects = new Map<string, Facts>()

  constructor(limits: PostureLimits = {}) {
    this.limit = limits.names ?? 100_000
  }

  /** Takes up rows that were stored. */
  load(rows: Iterable<PostureRow>): void {
    for (const { subject, fact, observations } of rows) this.factsOf(subject).set(fact, observations)
  }

  /** Names of which something is known. */
  get size(): number {
    return this.subjects.size
  }

  /**
   * Learns what was observed under all of these names of one device or user, whose own id is the first.
   *
   * @returns rows to store, in the transaction that appends the event
   */
  learn(
    kind: Kind,
    names: readonly string[],
    observed: Readonly<Partial<Record<Fact, boolean>>>,
    { time, source }: Pick<Observation, 'time' | 'source'>,
  ): readonly PostureRow[] {
    const changes: PostureRow[] = []
    for (const name of names) {
      const subject = subjectOf(kind, name)
      for (const [fact, value] of Object.entries(observed) as [Fact, boolean][]) {
        const facts = this.factsOf(subject)
        const observations = inserted(facts.get(fact) ?? [], { time, value, source, of: names[0]! })
        facts.set(fact, observations)
        changes.push({ subject, fact, observations })
      }
    }
    while (this.subjects.size > this.limit) {
      const [oldest, facts] = this.subjects.entries().next().value!
      this.subjects.delete(oldest)
      for (const fact of facts.keys()) changes.push({ subject: oldest, fact, observations: [] })
    }
    return changes
  }

  /** A fact of a device or user as of a time, by the first of its names that has one. Undefined: unknown. */
  asOf(kind: Kind, names: readonly string[], fact: Fact, time: number): Known | undefined {
    if (this.subjects.size === 0) return undefined
    for (const name of names) {
      const observations = this.subjects.get(subjectOf(kind, name))?.get(fact)
      const known = observations === undefined ? undefined : knownAt(observations, time, name)
      if (known !== undefined) return known
    }
    return undefined
  }

  /** What is known under a name, which thereby is the one learned last. */
  private factsOf(subject: string): Facts {
    const facts: Facts = this.subjects.get(subject) ?? new Map()
    this.subjects.delete(subject)
    this.subjects.set(subject, facts)
    return facts
  }
}

export type Kind = 'device' | 'user'

const subjectOf = (kind: Kind, name: string) => `${kind} ${name.toLowerCase()}`

/** By time; of the same time and holder the later word counts. Of three that agree the middle one says nothing, unless another comes between. */
function inserted(observations: readonly Observation[], added: Observation): readonly Observation[] {
  const all = observations.filter(({ time, of }) => time !== added.time || of !== added.of)
  const at = all.findLastIndex(({ time }) => time <= added.time) + 1
  all.splice(at, 0, added)
  if (all.length <= MOST_OBSERVATIONS) return all
  return all.filter((item, index) => !(agree(all[index - 1], item) && agree(item, all[index + 1]))).slice(-MOST_OBSERVATIONS)
}

function agree(a: Observation | undefined, b: Observation | undefined): boolean {
  return a !== undefined && b !== undefined && a.value === b.value && a.source === b.source && a.of === b.of
}

function knownAt(observations: readonly Observation[], time: number, name: string): Known | undefined {
  const own = observations.filter(({ of }) => of.toLowerCase() === name.toLowerCase())
  const relevant = own.length > 0 ? own : observations
  const at = relevant.findLastIndex((item) => item.time <= time)
  const found = relevant[at]
  if (found === undefined) return undefined
  const shared = relevant.some((item) => item.of !== found.of && item.time <= time && item.time > found.time - SHARED_NAME)
  if (shared) return undefined
  // What was confirmed before and after was known in between, too.
  return { value: found.value, source: found.source, observed: agree(found, relevant[at + 1]) ? time : found.time }
}
