import { z } from 'zod'
import { type Operation, serveVendor } from './vendor.ts'

const payload = z.strictObject({
  summary: z.string().min(1).max(1_024),
  source: z.string().min(1),
  severity: z.enum(['critical', 'error', 'warning', 'info']),
  timestamp: z.iso.datetime().optional(),
  class: z.string().optional(),
  custom_details: z.record(z.string(), z.string()).optional(),
})

/** PagerDuty's Events API v2: takes events by routing key, and keeps one alert for each dedup key. */
export async function startPagerDuty(routingKey: string) {
  const open = new Map<string, z.infer<typeof payload>>()
  const shared = { routing_key: z.literal(routingKey), dedup_key: z.string().min(1).max(255) }
  const event = z.discriminatedUnion('event_action', [
    z.strictObject({ ...shared, event_action: z.literal('trigger'), client: z.string().optional(), payload }),
    z.strictObject({ ...shared, event_action: z.literal('resolve') }),
  ])
  const server = await serveVendor(
    () => undefined,
    (record): readonly Operation[] => [
      { on: 'HEAD /', answer: () => ({ status: 404 }) },
      {
        on: 'POST /v2/enqueue',
        body: event,
        answer: ({ body }) => {
          const given = body as z.infer<typeof event>
          const key = given.dedup_key
          if (given.event_action === 'resolve') {
            if (open.delete(key)) record({ what: 'resolved', key, about: '' })
          } else {
            if (!open.has(key)) record({ what: 'opened', key, about: given.payload.severity })
            open.set(key, given.payload)
          }
          return { status: 202, body: { status: 'success', message: 'Event processed', dedup_key: key } }
        },
      },
    ],
  )
  return { ...server, open }
}
