import { createHmac, timingSafeEqual } from 'node:crypto'
import { CordonError } from '../../event/error.ts'
import { type Json, parseForeignJson } from '../../event/json.ts'
import type { ConnectedResponder, IncidentWord } from '../responder.ts'
import type { Hearing } from './definition.ts'
import { holds, textOf } from './judge.ts'
import { valueAt } from './place.ts'

/** What happened longer ago is refused: whoever has caught a webhook cannot keep it for another day. Milliseconds. */
const OLDEST = 3_600_000
/** Clocks differ. */
const AHEAD = 5 * 60_000
const LONGEST_NAME = 100

/**
 * Takes apart the webhook of a vendor that pages people.
 *
 * @throws CordonError (when it hears) `WEBHOOK_SIGNATURE`, `WEBHOOK_STALE`
 */
export function hearing(webhook: Hearing, secret: string): NonNullable<ConnectedResponder['hear']> {
  return (body, headers, now) => {
    checkSignatures(body, headers[webhook.header.toLowerCase()] ?? '', webhook.prefix, secret)
    const document = parseForeignJson(Buffer.from(body).toString('utf8'))
    const at = Date.parse(placed(document, webhook.at) ?? '')
    if (!(at >= now - OLDEST && at <= now + AHEAD)) {
      throw new CordonError('WEBHOOK_STALE', 'the webhook is of another time than now', {
        hint: 'are the clocks right? What was sent more than an hour ago is taken no more: answer in Cordon',
      })
    }
    return wordOf(webhook, document, at)
  }
}

/** Nothing where it tells of something else, or no person did it. */
function wordOf(webhook: Hearing, document: Json, at: number): readonly IncidentWord[] {
  const what = placed(document, webhook.what) ?? ''
  const says = Object.hasOwn(webhook.says, what) ? webhook.says[what] : undefined
  const [incident, by] = [placed(document, webhook.incident), placed(document, webhook.by)]
  if (says === undefined || incident === undefined || by === undefined) return []
  if (!holds(webhook.when, { status: 200, body: document }, { data: {} })) return []
  return [{ incident, says, by: by.slice(0, LONGEST_NAME).toWellFormed(), at }]
}

const placed = (document: Json, pointer: string) => textOf(valueAt(document, pointer))

function checkSignatures(body: Uint8Array, header: string, prefix: string, secret: string): void {
  const expected = createHmac('sha256', secret).update(body).digest()
  const given = header.split(',').map((one) => one.trim())
  const isOurs = (one: string) => {
    const bytes = one.startsWith(prefix) && Buffer.from(one.slice(prefix.length), 'hex')
    return bytes !== false && bytes.length === expected.length && timingSafeEqual(bytes, expected)
  }
  if (given.some(isOurs)) return
  throw new CordonError('WEBHOOK_SIGNATURE', 'the webhook has no valid signature of the vendor', {
    hint: 'is webhook_secret the one that the vendor showed when the webhook was made?',
  })
}
