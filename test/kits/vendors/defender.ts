import { z } from 'zod'
import type { Recorder } from './vendor.ts'
import { issuer, type Operation, refusal, serveVendor } from './vendor.ts'

export interface MachineAction {
  readonly id: string
  readonly type: 'Isolate' | 'Unisolate'
  status: 'Pending' | 'InProgress' | 'Succeeded' | 'Failed' | 'TimeOut' | 'Cancelled'
  readonly machineId: string
  readonly requestor: string
  readonly requestorComment: string
  readonly creationDateTimeUtc: string
  lastUpdateDateTimeUtc: string
}

const MACHINE = 'a3f2'.repeat(10)
const filter = (pattern: RegExp) => z.strictObject({ $filter: z.string().regex(pattern) })
const comment = z.string().min(1)

/** Microsoft Defender for Endpoint: machines, and actions on them that take a while. */
export async function startDefender(client: { readonly id: string; readonly secret: string }, uses?: number) {
  const actions: MachineAction[] = []
  const tokens = issuer({ ...client, scope: 'https://api.securitycenter.microsoft.com/.default' }, uses)
  /** How an action ends, after having been looked at so often. */
  const device = { ending: 'Succeeded' as MachineAction['status'], looks: 2 }
  const looks = new Map<string, number>()

  const act = (record: Recorder, type: MachineAction['type'], text: string) => {
    if (actions.some(({ status }) => status === 'Pending' || status === 'InProgress'))
      return refusal(400, 'Action is already in progress', 'ActiveRequestAlreadyExists')
    const at = new Date().toISOString()
    const id = `${type.toLowerCase()}-${actions.length + 1}`
    const action: MachineAction = {
      ...{ id, type, status: 'Pending', machineId: MACHINE, requestor: 'cordon-app', requestorComment: text },
      ...{ creationDateTimeUtc: at, lastUpdateDateTimeUtc: at },
    }
    actions.push(action)
    record({ what: type === 'Isolate' ? 'isolated' : 'released', key: id, about: MACHINE })
    return { status: 201, body: action }
  }
  const progress = (action: MachineAction) => {
    const seen = (looks.get(action.id) ?? 0) + 1
    looks.set(action.id, seen)
    if (action.status === 'Pending') action.status = 'InProgress'
    else if (action.status === 'InProgress' && seen >= device.looks) action.status = device.ending
    return action
  }

  const server = await serveVendor(tokens.guard('/tenant/oauth2/v2.0/token'), (record): readonly Operation[] => [
    {
      on: 'GET /api/machines',
      query: filter(/^computerDnsName eq '[\w.-]+'$/),
      answer: ({ query }) => {
        const name = /'(.*)'/.exec(query.$filter!)![1]
        const machines = [{ id: MACHINE, computerDnsName: 'pc-1', onboardingStatus: 'Onboarded', healthStatus: 'Active' }]
        return { status: 200, body: { value: machines.filter(({ computerDnsName }) => computerDnsName === name) } }
      },
    },
    {
      on: 'GET /api/machineactions',
      query: z.union([filter(/^machineId eq '[0-9a-f]{40}'$/), z.strictObject({ $top: z.string().regex(/^\d+$/) })]),
      answer: () => ({ status: 200, body: { value: actions.map(progress) } }),
    },
    {
      on: `POST /api/machines/${MACHINE}/isolate`,
      body: z.strictObject({ Comment: comment, IsolationType: z.enum(['Full', 'Selective', 'UnManagedDevice']) }),
      answer: ({ body }) => act(record, 'Isolate', (body as { Comment: string }).Comment),
    },
    {
      on: `POST /api/machines/${MACHINE}/unisolate`,
      body: z.strictObject({ Comment: comment }),
      answer: ({ body }) => act(record, 'Unisolate', (body as { Comment: string }).Comment),
    },
  ])
  return { ...server, actions, device, issued: tokens.issued, machine: MACHINE, tokenUrl: `${server.url}/tenant/oauth2/v2.0/token` }
}
