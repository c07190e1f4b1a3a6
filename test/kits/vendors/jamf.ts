import { z } from 'zod'
import { issuer, type Operation, refusal, serveVendor } from './vendor.ts'

const UDID = '5A1C0DE0-0000-4000-8000-000000000001'
const DEVICE = 'fb511aae-c557-474f-a9c1-5dc845b90d0f'

/** Jamf Pro: commands are queued, and a Mac acknowledges them when it has been asked about twice. */
export async function startJamf(client: { readonly id: string; readonly secret: string }, pin: string) {
  const tokens = issuer(client)
  const commands: { uuid: string; dateSent: string; dateCompleted?: string; commandState: string; looks: number }[] = []
  const mac = { answer: 'ACKNOWLEDGED' }
  const lock = z.strictObject({
    clientData: z.tuple([z.strictObject({ managementId: z.literal(DEVICE) })]),
    commandData: z.strictObject({ commandType: z.literal('DEVICE_LOCK'), message: z.string().min(1), pin: z.literal(pin) }),
  })
  const server = await serveVendor(tokens.guard('/api/v1/oauth/token'), (record): readonly Operation[] => [
    {
      on: 'GET /api/v1/computers-inventory',
      query: z.union([
        z.strictObject({ section: z.literal('GENERAL'), 'page-size': z.literal('1') }),
        z.strictObject({ section: z.literal('GENERAL'), filter: z.string().regex(/^udid=="[\w-]+"$/) }),
      ]),
      answer: ({ query }) => {
        const results = [{ id: '7', udid: UDID, general: { name: 'mac-1', managementId: DEVICE } }]
        const found = query.filter === undefined || query.filter.includes(UDID) ? results : []
        return { status: 200, body: { totalCount: found.length, results: found } }
      },
    },
    {
      on: 'GET /api/v2/mdm/commands',
      query: z.strictObject({ filter: z.literal(`clientManagementId==${DEVICE};command==DEVICE_LOCK`), sort: z.literal('dateSent:desc') }),
      answer: () => {
        const results = commands.map((command) => {
          if (++command.looks >= 2) Object.assign(command, { commandState: mac.answer, dateCompleted: new Date().toISOString() })
          const { looks: _, ...shown } = command
          return { ...shown, commandType: 'DEVICE_LOCK', client: { managementId: DEVICE, clientType: 'COMPUTER' } }
        })
        return { status: 200, body: { totalCount: results.length, results: results.toReversed() } }
      },
    },
    {
      on: 'POST /api/v2/mdm/commands',
      body: lock,
      answer: () => {
        if (commands.length > 20) return refusal(500, 'the queue is full')
        const uuid = `9e18f849-e689-4f2d-b616-${String(commands.length).padStart(12, '0')}`
        commands.push({ uuid, dateSent: new Date().toISOString(), commandState: 'PENDING', looks: 0 })
        record({ what: 'lock queued', key: uuid, about: DEVICE })
        return { status: 201, body: [{ id: uuid, href: `/v2/mdm/commands?filter=uuid==${uuid}` }] }
      },
    },
  ])
  return { ...server, mac, commands, udid: UDID }
}
