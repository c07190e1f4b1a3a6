import { z } from 'zod'
import { type Operation, refusal, serveVendor } from './vendor.ts'

const fields = {
  short_description: z.string().min(1).max(160),
  description: z.string().max(4_000),
  urgency: z.enum(['1', '2', '3']),
  correlation_display: z.string().max(100),
}
const create = z.strictObject({ ...fields, correlation_id: z.string().min(1).max(100) })
const update = z.union([
  z.strictObject(fields),
  z.strictObject({ state: z.literal('6'), close_code: z.literal('Solution provided'), close_notes: z.string().min(1) }),
])
type Row = z.infer<typeof create> & { readonly sys_id: string; readonly number: string; state: string }

/** ServiceNow's Table API on incidents. correlation_id is a field like any other: nothing keeps it unique. */
export async function startServiceNow(user: string, password: string) {
  const rows: Row[] = []
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const query = z.strictObject({
    sysparm_query: z.string().regex(/^correlation_id=[\w-]+(\^ORDERBYsys_created_on|\^stateNOT IN6,7,8)?$/),
    sysparm_limit: z.string().regex(/^\d+$/),
  })
  const server = await serveVendor(
    ({ headers }) => (headers.authorization === authorization ? undefined : refusal(401, 'User Not Authenticated')),
    (record): readonly Operation[] => [
      {
        on: 'GET /api/now/table/incident',
        query,
        answer: ({ query: { sysparm_query = '' } }) => {
          const id = /^correlation_id=([\w-]+)/.exec(sysparm_query)![1]
          const open = sysparm_query.includes('stateNOT IN')
          const result = rows.filter((row) => row.correlation_id === id && !(open && ['6', '7', '8'].includes(row.state)))
          return { status: 200, body: { result } }
        },
      },
      {
        on: 'POST /api/now/table/incident',
        body: create,
        answer: ({ body }) => {
          const row: Row = {
            ...(body as z.infer<typeof create>),
            sys_id: `${rows.length}`.padStart(32, 'a'),
            number: `INC${rows.length}`,
            state: '1',
          }
          rows.push(row)
          record({ what: 'created', key: row.correlation_id, about: row.urgency })
          return { status: 201, body: { result: row } }
        },
      },
      {
        on: 'PATCH /api/now/table/incident/:id',
        body: update,
        answer: ({ params, body }) => {
          const row = rows.find(({ sys_id }) => sys_id === params.id)
          if (row === undefined) return refusal(404, 'No Record found')
          const { state } = row
          Object.assign(row, body)
          if (row.state !== state) record({ what: 'resolved', key: row.correlation_id, about: '' })
          return { status: 200, body: { result: row } }
        },
      },
    ],
  )
  return { ...server, rows }
}
