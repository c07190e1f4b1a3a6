import { isUtf8 } from 'node:buffer'
import { Hono } from 'hono'
import { CordonError } from '../event/error.ts'
import { digest } from '../event/id.ts'
import { arrayElements, parseForeignJson } from '../event/json.ts'
import { recordOf } from '../normalise/json-framer.ts'
import type { BadRecord, Framer, RecordProblem, VendorRecord } from '../normalise/normaliser.ts'
import { answerError, framerOf, type HttpSourceOptions, readBody } from './http.ts'
import { linesOf } from './lines.ts'
import type { ListenerEnv } from './listener-guard.ts'
import type { Delivery, Intake, IntakeResult } from './source.ts'

/** Problems that an answer lists; all of them are in the dead-letter log. */
const LISTED_ERRORS = 20
/** Records handed over at once, so that one large body does not hold up the others. */
const BATCH = 1_000
/** Records or lines of one body. Empty ones cost far more than their bytes. */
const MOST_RECORDS = 1_000_000

const OPENING_BRACKET = 0x5b
const SPACE = 0x20
const NEWLINE = 0x0a

/**
 * `POST /v1/events?source=NAME`: one JSON object a line, a JSON array, or the lines of a source that has its own format (`linux.auditd`).
 * Answers when everything is durable. A line that cannot be read goes to the dead-letter log, is listed in the answer, and stops nothing.
 */
export function httpJson({ intake, bodyLimit, refused }: HttpSourceOptions): Hono<ListenerEnv> {
  const app = new Hono<ListenerEnv>()
  app.post('/v1/events', async (c) => {
    try {
      const source = c.req.query('source')
      const body = await readBody(c.req.raw, bodyLimit)
      const delivery = { sender: c.get('sender'), source, transport: 'http-json', bodyHash: digest(body) } as const
      const framer = await framerOf(intake, delivery, body)
      const { accepted, duplicates, deadLettered, errors } = await acceptAll(intake, delivery, recordsOf(body, framer))
      return c.json({ accepted, duplicates, dead_lettered: deadLettered, errors })
    } catch (error) {
      return answerError(c, error, refused)
    }
  })
  return app
}

/** Hands records over in batches, made as they are asked for: a body that is small on the wire may hold a million. */
async function acceptAll(
  intake: Intake,
  delivery: Omit<Delivery, 'records'>,
  records: Iterable<VendorRecord | BadRecord>,
): Promise<IntakeResult> {
  let total = { accepted: 0, duplicates: 0, deadLettered: 0, errors: [] as readonly RecordProblem[] }
  for (const batch of batchesOf(records)) {
    const result = await intake.accept({ ...delivery, records: batch })
    total = {
      accepted: total.accepted + result.accepted,
      duplicates: total.duplicates + result.duplicates,
      deadLettered: total.deadLettered + result.deadLettered,
      errors: [...total.errors, ...result.errors].slice(0, LISTED_ERRORS),
    }
  }
  return total
}

function* batchesOf<T>(items: Iterable<T>): Generator<readonly T[]> {
  let batch: T[] = []
  for (const item of items) {
    batch.push(item)
    if (batch.length < BATCH) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** @throws CordonError `BODY_TOO_MANY`, before the first of them is read */
function recordsOf(body: Buffer, framer: Framer): Iterable<VendorRecord | BadRecord> {
  const text = startsArray(body) && isUtf8(body) ? body.toString('utf8') : ''
  const elements = arrayElements(text, MOST_RECORDS) // undefined for several arrays, a line each, or one that is broken: the framer tells
  const count = elements === undefined ? countLines(body) : elements.length / 2
  if (count > MOST_RECORDS) {
    throw new CordonError('BODY_TOO_MANY', `a body may have ${MOST_RECORDS} records or lines`, { hint: 'send fewer records at once' })
  }
  return elements === undefined ? framed(body, framer) : parsed(text, elements)
}

function startsArray(body: Buffer): boolean {
  let at = 0
  while (at < body.length && body[at]! <= SPACE) at++
  return body[at] === OPENING_BRACKET
}

function* framed(body: Buffer, framer: Framer): Generator<VendorRecord | BadRecord> {
  for (const line of linesOf(body)) yield* framer.push(line, 0)
  yield* framer.flush()
}

/** The elements of an array; their lines count them. */
function* parsed(text: string, bounds: readonly number[]): Generator<VendorRecord | BadRecord> {
  for (let at = 0; at < bounds.length; at += 2) yield readElement(text.slice(bounds[at], bounds[at + 1]), at / 2)
}

function readElement(text: string, index: number): VendorRecord | BadRecord {
  try {
    return recordOf(parseForeignJson(text), index + 1, index, text)
  } catch (error) {
    if (!(error instanceof CordonError)) throw error
    return { line: index + 1, offset: index, code: error.code, reason: error.message, text }
  }
}

/** Counts no further than it has to. */
function countLines(body: Buffer): number {
  let count = 1
  for (let at = body.indexOf(NEWLINE); at >= 0 && count <= MOST_RECORDS; at = body.indexOf(NEWLINE, at + 1)) count++
  return count
}
