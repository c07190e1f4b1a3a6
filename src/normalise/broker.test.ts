import { describe, expect, it, test } from 'vitest'
import { getPath, type JsonObject } from '../event/json.ts'
import { broker } from './broker.ts'

const USE = { time: '2026-09-21T14:13:20Z', event: 'token.used', token_id: 'cap-1', op: 'read', path: '/srv/q3.xlsx', decision: 'allow' }
const one = (record: JsonObject) => broker.normalise(record)[0]!
const at = (record: JsonObject, path: string) => getPath(one(record).ecs, path)

describe('a token at its broker', () => {
  it('ends when the broker says, else when its lifetime from the issue is over', () => {
    const issue = { time: '2026-09-21T14:13:20Z', event: 'token.issued', token_id: 'cap-1', ops: ['read', 'list'], target: '/srv/**' }
    expect(at({ ...issue, ttl_s: 300 }, 'token.expires')).toBe('2026-09-21T14:18:20.000Z')
    expect(at({ ...issue, ttl_s: 300, expires: 1_790_000_100 }, 'token.expires')).toBe('2026-09-21T14:15:00.000Z')
    expect(at({ ...issue, ttl_s: 'soon' }, 'token.expires')).toBeUndefined()
    expect(one({ ...issue, time: 'never', ttl_s: 300 })).toMatchObject({
      time: null,
      ecs: { token: { op: ['read', 'list'], path: '/srv/**' } },
    })
  })

  it('names the file that it was used for, with its label, and none where it was only issued for a place', () => {
    expect(at({ ...USE, label: 'Confidential' }, 'file')).toEqual({ path: '/srv/q3.xlsx', name: 'q3.xlsx', classification: 'Confidential' })
    expect(at({ event: 'token.issued', token_id: 'x', target: '/srv/**' }, 'file')).toBeUndefined()
  })

  test.each([
    ['token.used', 'allow', 'success'],
    ['token.used', 'DENY', 'failure'],
    ['token.used', undefined, 'unknown'],
    ['token.used', 'later', 'unknown'],
    ['token.denied', undefined, 'failure'],
    ['token.issued', undefined, 'success'],
    ['token.revoked', undefined, 'success'],
  ])('%s with decision %s is %s', (event, decision, outcome) => {
    expect(at({ token_id: 'x', event, ...(decision === undefined ? {} : { decision }) }, 'event.outcome')).toBe(outcome)
  })

  it('says the same nested, with dots, or several at once', () => {
    const { op, path, ...rest } = USE
    const nested = { time: rest.time, event: rest.event, decision: rest.decision, token: { id: 'cap-1', op, path } }
    const dotted = { time: rest.time, event: rest.event, decision: rest.decision, 'token.id': 'cap-1', 'token.op': op, 'token.path': path }
    for (const record of [nested, dotted]) expect(one(record).ecs).toEqual(one(USE).ecs)
    const batch = broker.normalise({ events: [USE, nested, 'lost?'], batch: 7 })
    expect(batch.map(({ ecs }) => ecs)).toEqual([one(USE).ecs, one(USE).ecs])
    expect(batch[0]!.native).toEqual({ ...USE, envelope: { batch: 7, events: ['lost?'] } })
  })

  it('is an act of the agent that it names', () => {
    expect(one(USE).logsource).toEqual([{ product: 'broker', category: 'token', service: 'capability_token' }])
    expect(one({ ...USE, agent: 'cowork' }).logsource).toContainEqual({ product: 'ai_agent', category: 'token' })
  })

  it('never takes a token itself for its name', () => {
    expect(JSON.stringify(one({ ...USE, token: 'SECRET' }).ecs)).not.toContain('SECRET')
  })

  it('is not made of what is no broker’s', () => {
    expect(() => broker.normalise({ event: 'login', user: 'ana' })).toThrow(expect.objectContaining({ code: 'SOURCE_MISMATCH' }))
  })
})
