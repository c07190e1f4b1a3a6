import { z } from 'zod'
import { issuer, type Operation, serveVendor } from './vendor.ts'

type Status = 'normal' | 'containment_pending' | 'contained' | 'lift_containment_pending'

const HOST = 'c0ffee'.repeat(5)
const meta = { query_time: 0.01, trace_id: 'trace', powered_by: 'lab' }

/** CrowdStrike Falcon: hosts whose containment is a state, which the last write decides. */
export async function startFalcon(client: { readonly id: string; readonly secret: string }) {
  const tokens = issuer(client)
  const host = { status: 'normal' as Status }
  /** A pending state is over when it has been read once. */
  const read = (): Status => {
    const { status } = host
    if (status === 'containment_pending') host.status = 'contained'
    if (status === 'lift_containment_pending') host.status = 'normal'
    return status
  }
  const server = await serveVendor(tokens.guard('/oauth2/token'), (record): readonly Operation[] => [
    {
      on: 'GET /devices/queries/devices/v1',
      query: z.strictObject({
        filter: z
          .string()
          .regex(/^hostname:'[\w.-]+'$/)
          .optional(),
        limit: z.string().regex(/^\d+$/),
      }),
      answer: ({ query }) => ({ status: 200, body: { meta, resources: query.filter === "hostname:'pc-1'" ? [HOST] : [], errors: [] } }),
    },
    {
      on: 'GET /devices/entities/devices/v2',
      query: z.strictObject({ ids: z.literal(HOST) }),
      answer: () => ({ status: 200, body: { meta, resources: [{ device_id: HOST, hostname: 'pc-1', status: read() }], errors: [] } }),
    },
    {
      on: 'POST /devices/entities/devices-actions/v2',
      query: z.strictObject({ action_name: z.enum(['contain', 'lift_containment']) }),
      body: z.strictObject({ ids: z.tuple([z.literal(HOST)]) }),
      answer: ({ query }) => {
        const contain = query.action_name === 'contain'
        const changes = contain === ['normal', 'lift_containment_pending'].includes(host.status)
        if (changes) {
          host.status = contain ? 'containment_pending' : 'lift_containment_pending'
          record({ what: contain ? 'contained' : 'lifted', key: HOST, about: '' })
        }
        return { status: 202, body: { meta, resources: [{ id: HOST, path: `/devices/entities/devices/v2?ids=${HOST}` }], errors: [] } }
      },
    },
  ])
  return { ...server, host }
}
