import { type Promised, promiseOf } from './named.ts'
import type { TextScanner } from './text-scanner.ts'

/** What the name of a field says of its values. */
export interface NameFacts {
  readonly promised: Promised | undefined
  /** `value`: what it is, another name says. */
  readonly isValue: boolean
  /** A number under it counts, measures, dates or numbers something: no card, even if it looks like one. */
  readonly isMeasure: boolean
  /** A key's id under it says whose key was used, and opens nothing. */
  readonly isKeyId: boolean
  /** Nothing in the name itself is to be redacted. */
  readonly isClean: boolean
}

const VALUE = /^(?:value|stringValue|string_value|intValue)$/i
const KEY_ID = /access[-_.]?key[-_.]?id$/i
const MEASURE =
  /(?:^|[-_.])(?:id|uid|gid|pid|ts|time|ns|us|ms|seq|cap)s?$|[a-z](?:Id|Uid|Pid|Ts|Ns)s?$|(?:time|timestamp|nanos?|bytes|count|counter|size|length|sequence|offset|duration|inode|port|total|pkts|packets|flags)$/i

/** Records of one source share their names, so each is looked at once. Beyond this many they are forgotten. */
const MOST_NAMES = 20_000

/** The names that events have. */
export class Names {
  private readonly known = new Map<string, NameFacts>()
  private readonly scanner: TextScanner

  constructor(scanner: TextScanner) {
    this.scanner = scanner
  }

  of(name: string): NameFacts {
    const known = this.known.get(name)
    if (known !== undefined) return known
    const facts: NameFacts = {
      promised: promiseOf(name),
      isValue: VALUE.test(name),
      isMeasure: MEASURE.test(name),
      isKeyId: KEY_ID.test(name),
      isClean: this.scanner.redact(name, () => false, 0) === undefined,
    }
    if (this.known.size >= MOST_NAMES) this.known.clear()
    this.known.set(name, facts)
    return facts
  }
}
