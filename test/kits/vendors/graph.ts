import { z } from 'zod'
import { issuer, type Operation, serveVendor } from './vendor.ts'

const USER = 'b1f0a2c4-1111-4222-8333-444455556666'
const NAME = 'ana@example.com'
const DEVICE = 'd7e8f9a0-1111-4222-8333-444455556666'
const select = (...allowed: readonly string[]) => z.strictObject({ $select: z.enum(allowed) })
const first = z.strictObject({ $top: z.literal('1'), $select: z.literal('id') })

/** Microsoft Graph as far as users and Intune's devices go. What is revoked or locked shows a look later. */
export async function startGraph(client: { readonly id: string; readonly secret: string }) {
  const tokens = issuer({ ...client, scope: 'https://graph.microsoft.com/.default' })
  const user = { accountEnabled: true, userType: 'Member', revoked: false, validFrom: '2026-01-01T00:00:00Z' }
  const device = { answer: 'done' as 'done' | 'failed' | 'notSupported', locks: [] as { at: string; looks: number }[] }
  let due: string | undefined

  const person = () => {
    const { accountEnabled, userType, validFrom } = user
    if (due !== undefined) [user.validFrom, due] = [due, undefined]
    return { status: 200, body: { id: USER, accountEnabled, userType, signInSessionsValidFromDateTime: validFrom } }
  }
  const actions = () =>
    device.locks.map((lock) => ({
      ...{ actionName: 'remoteLock', actionState: lock.looks++ === 0 ? 'pending' : device.answer },
      ...{ startDateTime: lock.at, lastUpdatedDateTime: lock.at },
    }))
  const server = await serveVendor(tokens.guard('/tenant/oauth2/v2.0/token'), (record): readonly Operation[] => [
    { on: 'GET /v1.0/users', query: first, answer: () => ({ status: 200, body: { value: [{ id: USER }] } }) },
    { on: `GET /v1.0/users/${NAME}`, query: select('id,userType', 'id,accountEnabled'), answer: person },
    { on: `GET /v1.0/users/${USER}`, query: select('id,signInSessionsValidFromDateTime', 'id,accountEnabled'), answer: person },
    {
      on: `POST /v1.0/users/${USER}/revokeSignInSessions`,
      answer: () => {
        if (!user.revoked) record({ what: 'sessions revoked', key: USER, about: NAME })
        user.revoked = true
        due = new Date().toISOString()
        return { status: 200, body: { value: true } }
      },
    },
    {
      on: `PATCH /v1.0/users/${USER}`,
      body: z.strictObject({ accountEnabled: z.boolean() }),
      answer: ({ body }) => {
        const { accountEnabled } = body as { accountEnabled: boolean }
        if (accountEnabled !== user.accountEnabled) record({ what: accountEnabled ? 'enabled' : 'disabled', key: USER, about: NAME })
        user.accountEnabled = accountEnabled
        return { status: 204 }
      },
    },
    { on: 'GET /v1.0/deviceManagement/managedDevices', query: first, answer: () => ({ status: 200, body: { value: [] } }) },
    {
      on: `GET /v1.0/deviceManagement/managedDevices/${DEVICE}`,
      query: select('id,deviceName', 'id,deviceActionResults'),
      answer: () => ({ status: 200, body: { id: DEVICE, deviceName: 'pc-1', deviceActionResults: actions() } }),
    },
    {
      on: `POST /v1.0/deviceManagement/managedDevices/${DEVICE}/remoteLock`,
      answer: () => {
        // A locked screen that is locked again stays as it is.
        if (device.locks.length === 0) record({ what: 'locked', key: DEVICE, about: '' })
        device.locks.push({ at: new Date().toISOString(), looks: 0 })
        return { status: 204 }
      },
    },
  ])
  return { ...server, user, device, deviceId: DEVICE, userId: USER, login: NAME, tokenUrl: `${server.url}/tenant/oauth2/v2.0/token` }
}
