import { toDocument } from '../../event/event.ts'
import type { JsonObject } from '../../event/json.ts'
import { normaliserFor } from '../../normalise/index.ts'
import { type BadRecord, notNormalised, type RecordProblem, type VendorRecord } from '../../normalise/normaliser.ts'
import type { Redactor } from '../privacy.ts'
import { openLines } from './input.ts'

/** An event before anything is joined: `line` is where its record starts. */
export interface NormalisedLine {
  readonly line: number
  readonly event: JsonObject
}

/**
 * Normalises the records of a file (`-`: standard input), in the order in which they start.
 *
 * @param redactor takes out what nobody is to see
 * @throws CordonError `INPUT_UNREADABLE`, `SOURCE_UNKNOWN`
 */
export async function* normaliseFile(
  file: string,
  source: string,
  redactor: Redactor,
  onBadRecord: (problem: RecordProblem) => void,
): AsyncGenerator<NormalisedLine> {
  const normaliser = normaliserFor(source)
  const framer = normaliser.framer()
  const skip = (bad: RecordProblem) => onBadRecord({ ...bad, reason: redactor.scrub(bad.reason) })
  const eventsOf = (records: readonly (VendorRecord | BadRecord)[]): NormalisedLine[] =>
    records.flatMap((record) => {
      if ('reason' in record) {
        skip(record)
        return []
      }
      try {
        return normaliser.normalise(record.value).map((draft) => ({ line: record.line, event: toDocument(redactor.redact(draft)) }))
      } catch (error) {
        skip(notNormalised(record, error))
        return []
      }
    })
  // A record of several lines may end after one that starts later: what is complete waits for what is not.
  let waiting: readonly (VendorRecord | BadRecord)[] = []
  const inOrder = (complete: readonly (VendorRecord | BadRecord)[], before: number) => {
    if (complete.length === 0) return []
    const records = [...waiting, ...complete].sort((a, b) => a.offset - b.offset)
    waiting = records.filter(({ offset }) => offset >= before)
    return records.filter(({ offset }) => offset < before)
  }
  for await (const line of openLines(file)) {
    const complete = framer.push(line, 0)
    yield* eventsOf(inOrder(complete, framer.pendingOffset() ?? Number.POSITIVE_INFINITY))
  }
  yield* eventsOf([...waiting, ...framer.flush()].sort((a, b) => a.offset - b.offset))
}
