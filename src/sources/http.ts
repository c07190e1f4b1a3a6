import { constants, isUtf8 } from 'node:buffer'
import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'
import type { Context } from 'hono'
import { CordonError, messageOf } from '../event/error.ts'
import type { Framer } from '../normalise/normaliser.ts'
import type { Delivery, Intake } from './source.ts'

export interface HttpSourceOptions {
  readonly intake: Intake
  /** Told of each request whose body is not taken in, and why. */
  readonly refused: (reason: string) => void
  /** Bytes of a body, on the wire and inflated. Default {@link BODY_LIMIT}. */
  readonly bodyLimit?: number
}

/** Bytes of a request body, on the wire and after inflation. */
const BODY_LIMIT = 64 * 1024 * 1024

const DECODERS = { gzip: promisify(gunzip), 'x-gzip': promisify(gunzip), deflate: promisify(inflate) } as const

/**
 * Reads and inflates a request body, holding no more than `limit` bytes of either.
 *
 * @throws CordonError `BODY_TOO_LARGE`, `BODY_ENCODING` (a Content-Encoding that is not known), `BODY_DAMAGED` (not what it says)
 */
export async function readBody(request: Request, limit = BODY_LIMIT): Promise<Buffer> {
  const encoding = (request.headers.get('content-encoding') ?? 'identity').trim().toLowerCase()
  if (encoding !== 'identity' && !Object.hasOwn(DECODERS, encoding)) {
    throw new CordonError('BODY_ENCODING', `Content-Encoding "${encoding}" is not supported`, { hint: 'send gzip, deflate or nothing' })
  }
  const declared = Number(request.headers.get('content-length') ?? 0)
  if (declared > limit) throw tooLarge(limit)
  const body = await collect(request.body, limit)
  if (encoding === 'identity') return body
  try {
    return await DECODERS[encoding as keyof typeof DECODERS](body, { maxOutputLength: Math.min(limit, constants.MAX_LENGTH) })
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limit)
    throw new CordonError('BODY_DAMAGED', `the body is not ${encoding}: ${(error as Error).message}`, { cause: error })
  }
}

async function collect(stream: ReadableStream<Uint8Array> | null, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  if (stream !== null) {
    for await (const chunk of stream) {
      size += chunk.byteLength
      if (size > limit) throw tooLarge(limit)
      chunks.push(chunk)
    }
  }
  return Buffer.concat(chunks)
}

function tooLarge(limit: number): CordonError {
  return new CordonError('BODY_TOO_LARGE', `a body may have ${limit} bytes, also after inflation`, { hint: 'send fewer records at once' })
}

/** Statuses of what a sender can do something about; anything else is ours, and worth another try. */
const STATUSES = { BODY_TOO_LARGE: 413, BODY_TOO_MANY: 413, BODY_ENCODING: 415, BODY_DAMAGED: 400, SOURCE_UNKNOWN: 400 } as const

/**
 * How the records of a delivery are cut. A body of a source that nobody knows is kept whole, as a dead letter: its sender takes the
 * refusal for final.
 *
 * @throws CordonError `SOURCE_UNKNOWN`
 */
export async function framerOf(intake: Intake, delivery: Omit<Delivery, 'records'>, body: Buffer): Promise<Framer> {
  try {
    return intake.framer(delivery.source)
  } catch (error) {
    if (!(error instanceof CordonError)) throw error
    const text = body.toString(isUtf8(body) ? 'utf8' : 'latin1')
    const letter = { line: 1, offset: 0, code: error.code, reason: error.message, text }
    await intake.accept({ ...delivery, source: undefined, records: [letter] })
    throw error
  }
}

/** The answer to a request that was not taken in. 503 promises that nothing of it counts, so sending it again is right. */
export function answerError(c: Context, error: unknown, refused: HttpSourceOptions['refused']): Response {
  if (error instanceof CordonError && Object.hasOwn(STATUSES, error.code)) {
    refused(error.code)
    return c.json({ error: error.message, code: error.code, hint: error.hint }, STATUSES[error.code as keyof typeof STATUSES])
  }
  return c.json({ error: `not taken in: ${messageOf(error)}`, code: 'INTAKE_UNAVAILABLE' }, 503, { 'retry-after': '5' })
}
