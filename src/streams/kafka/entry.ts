import { CordonError, messageOf } from '../../event/error.ts'
import { parseJson } from '../../event/json.ts'
import type { LogEntry } from '../log.ts'

/** A record as it comes from a broker. */
export interface StoredRecord {
  readonly offset: string
  /** Milliseconds: the broker's append time, since the topics are created so. */
  readonly timestamp: string
  readonly value: Buffer | null
}

/** @throws CordonError `STREAMS_FOREIGN_RECORD` for what Cordon cannot have written */
function entryOf(partition: number, { offset, timestamp, value }: StoredRecord): LogEntry<unknown> {
  if (value === null) throw foreign(offset, 'it is empty')
  try {
    return { partition, offset: Number(offset), appended: Number(timestamp), value: parseJson(value.toString('utf8')) }
  } catch (error) {
    throw foreign(offset, messageOf(error))
  }
}

/**
 * The entries among records, and what was wrong with the others: they stay in the topic, and hold nobody up.
 *
 * @param compacted an empty record removes a key, and is nobody's mistake
 */
export function entriesOf(
  partition: number,
  records: readonly StoredRecord[],
  compacted: boolean,
  onForeign: (error: unknown) => void,
): readonly LogEntry<unknown>[] {
  const entries: LogEntry<unknown>[] = []
  for (const record of records) {
    if (compacted && record.value === null) continue
    try {
      entries.push(entryOf(partition, record))
    } catch (error) {
      onForeign(error)
    }
  }
  return entries
}

function foreign(offset: string, why: string): CordonError {
  return new CordonError('STREAMS_FOREIGN_RECORD', `the record at offset ${offset} is not Cordon’s: ${why}`, {
    hint: 'find out who else writes to the topic; let nobody but Cordon do so',
  })
}
