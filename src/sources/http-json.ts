import { isUtf8 } from 'node:buffer'
import { Hono } from 'hono'
import { digest } from '../event/id.ts'
import { parseJson } from '../event/json.ts'
import { recordOf } from '../normalise/json-framer.ts'
import type { BadRecord, RecordProblem, VendorRecord } from '../normalise/normaliser.ts'
import { answerError, type HttpSourceOptions, readBody } from './http.ts'
import { linesOf } from './lines.ts'
import type { ListenerEnv } from './listener-guard.ts'
import type { Delivery, Intake, IntakeResult } from './source.ts'

/** Problems that an answer lists; all of them are in the dead-letter log. */
const LISTED_ERRORS = 20
/** Records handed over at once, so that one large body does not hold up the others. */
const BATCH = 1_000

/**
 * `POST /v1/events?source=NAME`: one JSON object a line, a JSON array, or the lines of a source that has its own format (`linux.auditd`).
 * Answers when everything is durable. A line that cannot be read goes to the dead-letter log, is listed in the answer, and stops nothing.
 */
export function httpJson({ intake, bodyLimit }: HttpSourceOptions): Hono<ListenerEnv> {
  const app = new Hono<ListenerEnv>()
  app.post('/v1/events', async (c) => {
    try {
      const source = c.req.query('source')
      const framer = intake.framer(source)
      const body = await readBody(c.req.raw, bodyLimit)
      const delivery = { sender: c.get('sender'), source, transport: 'http-json', bodyHash: digest(body) } as const
      const records = readArray(body) ?? [...linesOf(body).flatMap((line) => framer.push(line, 0)), ...framer.flush()]
      const { accepted, duplicates, deadLettered, errors } = await acceptAll(intake, delivery, records)
      return c.json({ accepted, duplicates, dead_lettered: deadLettered, errors })
    } catch (error) {
      return answerError(c, error)
    }
  })
  return app
}

async function acceptAll(
  intake: Intake,
  delivery: Omit<Delivery, 'records'>,
  records: readonly (VendorRecord | BadRecord)[],
): Promise<IntakeResult> {
  let total = { accepted: 0, duplicates: 0, deadLettered: 0, errors: [] as readonly RecordProblem[] }
  for (let at = 0; at < records.length; at += BATCH) {
    const result = await intake.accept({ ...delivery, records: records.slice(at, at + BATCH) })
    total = {
      accepted: total.accepted + result.accepted,
      duplicates: total.duplicates + result.duplicates,
      deadLettered: total.deadLettered + result.deadLettered,
      errors: [...total.errors, ...result.errors].slice(0, LISTED_ERRORS),
    }
  }
  return total
}

const OPENING_BRACKET = 0x5b

/** The records of a body that is one JSON array; their lines count its elements. Undefined if it is none. */
function readArray(body: Buffer): readonly (VendorRecord | BadRecord)[] | undefined {
  if (body.find((byte) => byte > 0x20) !== OPENING_BRACKET || !isUtf8(body)) return undefined
  let value: ReturnType<typeof parseJson>
  try {
    value = parseJson(body.toString('utf8'))
  } catch {
    return undefined // several arrays, a line each, or one that is broken: the framer tells
  }
  if (!Array.isArray(value)) return undefined
  return value.map((item, index) => recordOf(item, index + 1, index))
}
