import { CordonError, messageOf } from '../event/error.ts'
import { type Event, toDocument } from '../event/event.ts'
import { identity } from '../event/id.ts'
import type { JsonObject } from '../event/json.ts'
import { normaliserFor } from '../normalise/index.ts'
import type { BadRecord, VendorRecord } from '../normalise/normaliser.ts'
import { openLines } from './replay.ts'

/** An event as its source's normaliser makes it, before anything is joined: `line` is where its record starts. */
export interface NormalisedLine {
  readonly line: number
  readonly event: JsonObject
}

type Problem = Pick<BadRecord, 'line' | 'code' | 'reason'>

/**
 * Normalises the records of a file (`-`: standard input), in order.
 *
 * @throws CordonError `INPUT_UNREADABLE`, `SOURCE_UNKNOWN`
 */
export async function* normaliseFile(
  file: string,
  source: string,
  onBadRecord: (problem: Problem) => void,
): AsyncGenerator<NormalisedLine> {
  const normaliser = normaliserFor(source)
  const framer = normaliser.framer()
  const eventsOf = (records: readonly (VendorRecord | BadRecord)[]): NormalisedLine[] =>
    records.flatMap((record) => {
      if ('reason' in record) {
        onBadRecord(record)
        return []
      }
      try {
        return normaliser.normalise(record.value).map(({ producerId, ...draft }, part) => {
          const id = producerId ?? identity(source, record.offset, part)
          const event: Event = { ...draft, id, ingested: draft.time ?? 0 }
          return { line: record.line, event: toDocument(event) }
        })
      } catch (error) {
        onBadRecord({ line: record.line, code: error instanceof CordonError ? error.code : 'NORMALISE_FAILED', reason: messageOf(error) })
        return []
      }
    })
  for await (const line of openLines(file)) yield* eventsOf(framer.push(line, 0))
  yield* eventsOf(framer.flush())
}
