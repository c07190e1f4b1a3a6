import { z } from 'zod'
import { bearer, type Operation, serveVendor } from './vendor.ts'

const USER = '00u1abcdEFGH2345'
const LOGIN = 'ana@example.com'
const error = (code: string) => ({ errorCode: code, errorSummary: 'refused', errorCauses: [] })

/** Okta's Management API: one user, whose sessions end and who may be suspended, and a System Log that lags behind by a look. */
export async function startOkta(token: string) {
  const user = { status: 'ACTIVE' as 'ACTIVE' | 'SUSPENDED' | 'DEPROVISIONED', sessions: true }
  const log: { uuid: string; published: string; eventType: string; outcome: { result: string }; target: { id: string }[] }[] = []
  let looks = 0
  const profile = () => ({ status: 200, body: { id: USER, status: user.status, profile: { login: LOGIN } } })
  const server = await serveVendor(bearer(token, 'SSWS'), (record): readonly Operation[] => [
    { on: 'GET /api/v1/users/me', answer: () => ({ status: 200, body: { id: 'admin', status: 'ACTIVE' } }) },
    { on: `GET /api/v1/users/${LOGIN}`, answer: profile },
    { on: `GET /api/v1/users/${USER}`, answer: profile },
    {
      on: `DELETE /api/v1/users/${USER}/sessions`,
      query: z.strictObject({ oauthTokens: z.literal('true') }),
      answer: () => {
        if (user.sessions) record({ what: 'sessions ended', key: USER, about: LOGIN })
        user.sessions = false
        log.push({
          ...{ uuid: `log-${log.length}`, published: new Date().toISOString(), eventType: 'user.session.clear' },
          ...{ outcome: { result: 'SUCCESS' }, target: [{ id: USER }] },
        })
        looks = 0
        return { status: 204 }
      },
    },
    {
      on: 'GET /api/v1/logs',
      query: z.strictObject({
        since: z.iso.datetime(),
        filter: z.literal(`eventType eq "user.session.clear" and target.id eq "${USER}"`),
      }),
      answer: () => ({ status: 200, body: looks++ === 0 ? [] : log }),
    },
    {
      on: `POST /api/v1/users/${USER}/lifecycle/suspend`,
      answer: () => {
        if (user.status !== 'ACTIVE') return { status: 400, body: error('E0000001') }
        user.status = 'SUSPENDED'
        record({ what: 'suspended', key: USER, about: LOGIN })
        return { status: 200 }
      },
    },
    {
      on: `POST /api/v1/users/${USER}/lifecycle/unsuspend`,
      answer: () => {
        if (user.status !== 'SUSPENDED') return { status: 400, body: error('E0000001') }
        user.status = 'ACTIVE'
        record({ what: 'unsuspended', key: USER, about: LOGIN })
        return { status: 200 }
      },
    },
  ])
  return { ...server, user, id: USER, login: LOGIN }
}
