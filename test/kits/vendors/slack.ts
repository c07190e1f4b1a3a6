import { z } from 'zod'
import { type Operation, serveVendor } from './vendor.ts'

const plain = z.strictObject({ type: z.literal('plain_text'), text: z.string().min(1).max(3_000), emoji: z.literal(false) })
const message = z.strictObject({
  channel: z.literal('C012345'),
  // Read as mrkdwn: an unescaped < begins a mention or a link.
  text: z
    .string()
    .min(1)
    .max(4_000)
    .regex(/^[^<>]*$/),
  unfurl_links: z.literal(false),
  unfurl_media: z.literal(false),
  blocks: z.array(
    z.union([
      z.strictObject({ type: z.literal('header'), text: plain.extend({ text: z.string().min(1).max(150) }) }),
      z.strictObject({ type: z.literal('section'), text: plain }),
    ]),
  ),
  metadata: z.strictObject({
    event_type: z.literal('cordon_incident'),
    event_payload: z.strictObject({ key: z.string().min(8), incident: z.string().min(1) }),
  }),
})
type Message = z.infer<typeof message>

/** Slack's Web API: 200 to nearly everything, and `ok` says what it was. */
export async function startSlack(token: string) {
  const messages: (Message & { readonly ts: string })[] = []
  const server = await serveVendor(
    ({ headers }) =>
      headers.authorization === `Bearer ${token}` ? undefined : { status: 200, body: { ok: false, error: 'invalid_auth' } },
    (record): readonly Operation[] => [
      { on: 'GET /api/auth.test', answer: () => ({ status: 200, body: { ok: true, team: 'lab' } }) },
      {
        on: 'GET /api/conversations.history',
        query: z.strictObject({ channel: z.literal('C012345'), include_all_metadata: z.literal('true'), limit: z.string().regex(/^\d+$/) }),
        answer: () => ({ status: 200, body: { ok: true, messages: messages.toReversed(), has_more: false } }),
      },
      {
        on: 'POST /api/chat.postMessage',
        body: message,
        answer: ({ body }) => {
          const ts = `1763600000.${String(messages.length).padStart(6, '0')}`
          messages.push({ ...(body as Message), ts })
          record({ what: 'posted', key: (body as Message).metadata.event_payload.key, about: ts })
          return { status: 200, body: { ok: true, channel: 'C012345', ts } }
        },
      },
    ],
  )
  return { ...server, messages }
}
