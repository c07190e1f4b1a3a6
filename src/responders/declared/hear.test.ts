import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadResponder } from './load.ts'

const SECRET = 'what PagerDuty showed'
const INCIDENT = '0123456789abcdef0123456789abcdef'
const NOW = Date.parse('2026-05-20T14:00:30.000Z')
const NAMES = { HEAR_ROUTING: 'routing', HEAR_WEBHOOK: SECRET }
beforeAll(() => Object.assign(process.env, NAMES))
afterAll(() => {
  for (const name of Object.keys(NAMES)) delete process.env[name]
})

/** As PagerDuty's webhooks v3 tell of an incident. */
const told = (event: object = {}, data: object = {}) =>
  Buffer.from(
    JSON.stringify({
      event: {
        id: '5ac64822-4adc-4fda-ade0-410becf0de4f',
        event_type: 'incident.acknowledged',
        resource_type: 'incident',
        occurred_at: '2026-05-20T14:00:00.000Z',
        agent: { id: 'PLH1HKV', summary: 'Amara Okafor', type: 'user_reference' },
        client: null,
        data: { id: 'PGR0VU2', type: 'incident', number: 2, status: 'acknowledged', incident_key: INCIDENT, ...data },
        ...event,
      },
    }),
  )
const sign = (body: Uint8Array, secret = SECRET) => `v1=${createHmac('sha256', secret).update(body).digest('hex')}`

const FILE = join(import.meta.dirname, '../../../responders/pagerduty-incident.yml')
const responder = loadResponder(FILE, readFileSync(FILE, 'utf8'))

function pagerduty(more: object = { webhook_secret: { env: 'HEAR_WEBHOOK' } }) {
  return responder.connect(responder.config.parse({ routing_key: { env: 'HEAR_ROUTING' }, ...more })).hear
}
const hear = (body: Uint8Array, header = sign(body), now = NOW) => pagerduty()!(body, { 'x-pagerduty-signature': header }, now)
const refused = (code: string) => expect.objectContaining({ code })

test('people’s words are taken, with their names', () => {
  const amara = { incident: INCIDENT, by: 'Amara Okafor', at: Date.parse('2026-05-20T14:00:00.000Z') }
  expect(hear(told())).toEqual([{ ...amara, says: 'acknowledged' }])
  expect(hear(told({ event_type: 'incident.unacknowledged' }))).toEqual([{ ...amara, says: 'unacknowledged' }])
  expect(hear(told({ event_type: 'incident.resolved' }))).toEqual([{ ...amara, says: 'resolved' }])
})

test('what no person did, or is of something else, says nothing', () => {
  const silent = [
    told({ event_type: 'incident.resolved', agent: { id: 'P1', summary: 'Cordon', type: 'inbound_integration_reference' } }),
    told({ event_type: 'incident.resolved', agent: null }),
    told({ event_type: 'incident.escalated' }),
    told({ event_type: 'constructor' }),
    told({ event_type: 'pagey.ping', resource_type: 'pagey', data: { message: 'Hello from your friend Pagey!', type: 'ping' } }),
    told({}, { incident_key: null }),
  ]
  for (const body of silent) expect(hear(body)).toEqual([])
})

describe('a webhook is refused', () => {
  test('without the signature, with another’s, and where a byte was changed', () => {
    const body = told()
    for (const header of ['', 'v1=', sign(body).slice(3), sign(body, 'another secret'), `v0=${sign(body).slice(3)}`, `${sign(body)}00`])
      expect(() => hear(body, header), header).toThrow(refused('WEBHOOK_SIGNATURE'))
    const header = sign(body)
    fc.assert(
      fc.property(fc.nat(body.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const changed = Buffer.from(body)
        changed[at]! ^= bits
        expect(() => hear(changed, header)).toThrow(refused('WEBHOOK_SIGNATURE'))
      }),
    )
  })

  test('an hour later, before its time, and without a time', () => {
    const body = told()
    expect(() => hear(body, sign(body), NOW + 3_600_000)).toThrow(refused('WEBHOOK_STALE'))
    expect(() => hear(body, sign(body), NOW - 10 * 60_000)).toThrow(refused('WEBHOOK_STALE'))
    expect(() => hear(told({ occurred_at: undefined }))).toThrow(refused('WEBHOOK_STALE'))
  })

  test('where no secret is configured: then there is no webhook', () => {
    expect(pagerduty({})).toBeUndefined()
  })
})

test('while the secret is changed there are two signatures, and one of them is enough', () => {
  const body = told()
  expect(hear(body, `${sign(body, 'the next one')},${sign(body)}`)).toHaveLength(1)
  expect(hear(body, `${sign(body)}, ${sign(body, 'the next one')}`)).toHaveLength(1)
})
