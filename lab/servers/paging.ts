import { createHash } from 'node:crypto'
import { type LabAnswer, type LabOptions, type LabServer, serveLab } from './server.ts'

interface Alert {
  readonly fingerprint: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly startsAt: string
  readonly endsAt: string
  readonly updatedAt: string
}

export interface LabPaging extends LabServer {
  /** Alerts that are not resolved. */
  active(): readonly Alert[]
}

/** Alerts without an end are forgotten after this time, as with Alertmanager's resolve_timeout. */
const RESOLVE_TIMEOUT = 5 * 60_000

/** A small on-call service that speaks the alerts part of Alertmanager's API v2: the label set is an alert's identity. */
export async function startLabPaging(options: LabOptions = {}): Promise<LabPaging> {
  const alerts = new Map<string, Alert>()
  const active = () => [...alerts.values()].filter((alert) => Date.parse(alert.endsAt) > Date.now())

  const server = await serveLab(options, (record) => {
    const post = (text: string): LabAnswer => {
      const posted = parseAlerts(text)
      if (posted === undefined) return { status: 400, body: { code: 400, message: 'parsing alerts body failed' } }
      for (const item of posted) {
        if (item.labels === undefined) return { status: 422, body: { code: 602, message: '0.labels in body is required' } }
        if (item.labels.alertname === undefined) return { status: 400, body: 'at least one label pair required' }
      }
      for (const item of posted) {
        const labels = withoutEmpty(item.labels ?? {})
        const fingerprint = createHash('sha256')
          .update(JSON.stringify(Object.entries(labels).sort()))
          .digest('hex')
          .slice(0, 16)
        const now = Date.now()
        const known = active().find((alert) => alert.fingerprint === fingerprint)
        const endsAt = item.endsAt ?? new Date(now + RESOLVE_TIMEOUT).toISOString()
        const annotations = withoutEmpty(item.annotations ?? {})
        const updatedAt = new Date(now).toISOString()
        alerts.set(fingerprint, {
          fingerprint,
          labels,
          annotations,
          startsAt: known?.startsAt ?? item.startsAt ?? updatedAt,
          endsAt,
          updatedAt,
        })
        const what =
          Date.parse(endsAt) <= now
            ? known === undefined
              ? undefined
              : 'resolved'
            : known === undefined
              ? 'opened'
              : changed(known.annotations, annotations)
                ? 'updated'
                : undefined
        if (what !== undefined) record({ what, key: labels.incident ?? fingerprint, about: labels.severity ?? '' })
      }
      return { status: 200 }
    }

    return (request) => {
      if (request.path === '/-/ready') return { status: 200, body: 'OK' }
      if (request.path === '/api/v2/status')
        return { status: 200, body: { versionInfo: { version: 'lab' }, cluster: { status: 'disabled' } } }
      if (request.path !== '/api/v2/alerts') return { status: 404, body: 'page not found' }
      if (request.method === 'POST') return post(request.body)
      const matchers = request.query.getAll('filter').map(parseMatcher)
      if (matchers.includes(undefined)) return { status: 400, body: '"bad matcher format"' }
      const found = active().filter((alert) => matchers.every((matcher) => alert.labels[matcher!.name] === matcher!.value))
      return {
        status: 200,
        body: found.map((alert) => ({
          ...alert,
          receivers: [{ name: 'lab' }],
          status: { state: 'active', silencedBy: [], inhibitedBy: [] },
        })),
      }
    }
  })
  return { ...server, active }
}

type Posted = Partial<Pick<Alert, 'labels' | 'annotations' | 'startsAt' | 'endsAt'>>

function parseAlerts(text: string): Posted[] | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? (value as Posted[]) : undefined
  } catch {
    return undefined
  }
}

/** `name="value"`, the value in JSON's (and Go's) quotes. Other operators are not offered. */
function parseMatcher(text: string): { name: string; value: string } | undefined {
  const match = /^\s*(\w+)=("(?:[^"\\]|\\.)*")\s*$/.exec(text)
  return match === null ? undefined : { name: match[1]!, value: JSON.parse(match[2]!) as string }
}

const withoutEmpty = (texts: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ''))
const changed = (one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>) =>
  JSON.stringify(Object.entries(one).sort()) !== JSON.stringify(Object.entries(other).sort())
