import { z } from 'zod'
import { getText, isObject, type JsonObject, parseForeignJson } from '../event/json.ts'
import { formatTime } from '../event/time.ts'
import { below, ENCRYPTED_HINT, encrypted, endpoint } from './endpoint.ts'
import { classify, statusFailure, VendorError } from './failure.ts'
import type { HttpResponse } from './http.ts'
import type { ConnectedResponder, IncidentBrief, Observation, Responder, ResponderContext } from './responder.ts'
import { excerpt, readSecret, secretRef } from './secret.ts'

const SEVERITIES = ['informational', 'low', 'medium', 'high', 'critical'] as const
const DEFAULT_SEVERITIES: Readonly<Record<string, string>> = {
  informational: 'info',
  low: 'info',
  medium: 'warning',
  high: 'critical',
  critical: 'critical',
}

const config = z
  .strictObject({
    ...endpoint,
    token: secretRef.optional().describe('bearer token, if a proxy in front of Alertmanager asks for one'),
    severities: z
      .partialRecord(z.enum(SEVERITIES), z.string().min(1))
      .default({})
      .describe("your routes' severity label, by Cordon's severity"),
    labels: z
      .record(z.string().regex(/^[a-zA-Z_]\w*$/), z.string())
      .default({})
      .describe('labels that your routes look for, added to every incident'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

const REQUEST_TIMEOUT = 5_000
const TIMEOUT = 12_000
const YEAR = 365 * 24 * 3_600_000
/** How long Alertmanager may take to show what it accepted. */
const SETTLE = 500

type Details = {
  readonly incident: string
  /** The label set is Alertmanager's identity of an alert: posting it again updates, never duplicates. */
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly startsAt: string
  readonly endsAt: string
}

/**
 * Keeps an incident open in Alertmanager. `plan` and `run` open it and, with the incident as it is by then, update it; `undo` resolves
 * it. The end is set a year ahead: an alert without one is dropped after resolve_timeout, minutes after Cordon last said it.
 */
export const alertmanagerIncident = {
  name: 'alertmanager-incident',
  title: 'Open, update and resolve an incident in Alertmanager',
  verb: 'create_incident',
  effect: 'record',
  reversible: true,
  target: 'incident',
  needs: [],
  permissions: ['GET and POST /api/v2/alerts'],
  config,
  example: `url: http://alertmanager.example.internal:9093
allow_private: true
labels: { team: soc }
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const token = settings.token === undefined ? undefined : readSecret(settings.token)

  const call = async (
    context: Pick<ResponderContext, 'http' | 'signal'>,
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
  ): Promise<HttpResponse> => {
    const response = await context.http.request({
      method,
      url: below(settings, `api/v2/${path}`),
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      timeout: REQUEST_TIMEOUT,
      signal: context.signal,
    })
    if (response.status === 200) return response
    const text = excerpt(response.body, token === undefined ? [] : [token])
    throw new VendorError(statusFailure(response, `Alertmanager answers ${response.status} ${text}`))
  }

  /** The incident's alerts that are not resolved. More than one while its severity, which is a label, has just changed. */
  const active = async (context: ResponderContext, incident: string): Promise<ActiveAlert[]> => {
    const filter = encodeURIComponent(`incident=${JSON.stringify(incident)}`)
    const answer = parseForeignJson((await call(context, 'GET', `alerts?filter=${filter}`)).body)
    if (!Array.isArray(answer))
      throw new VendorError({ kind: 'final', reason: 'the answer is not one of Alertmanager' }, 'does url lead to Alertmanager itself?')
    return answer.filter(isObject).map(readAlert)
  }

  return {
    async check(context) {
      await call(context, 'GET', 'status')
    },

    async plan(_target, context) {
      const details = describe(context.incident, settings)
      return {
        summary: `Open or update incident ${details.incident} in Alertmanager with severity ${details.labels.severity}`,
        calls: ['POST /api/v2/alerts'],
        details,
      }
    },

    async run(plan, context) {
      const details = plan.details
      const former = (await active(context, details.incident)).filter((alert) => !sameTexts(alert.labels, details.labels))
      await call(context, 'POST', 'alerts', [
        { labels: details.labels, annotations: details.annotations, startsAt: details.startsAt, endsAt: details.endsAt },
        ...former.map((alert) => resolved(alert, context.now())),
      ])
      return { incident: details.incident }
    },

    async verify(plan, context): Promise<Observation> {
      const details = plan.details
      const alerts = await active(context, details.incident)
      const ours = alerts.find((alert) => sameTexts(alert.labels, details.labels))
      if (ours === undefined)
        return { state: 'absent', proof: `Alertmanager has no active alert with incident="${details.incident}" and these labels` }
      if (!sameTexts(ours.annotations, details.annotations))
        return { state: 'absent', proof: `Alertmanager shows an earlier state of ${details.incident}` }
      if (alerts.length > 1) return { state: 'absent', proof: `Alertmanager still shows ${details.incident} with an earlier severity` }
      return { state: 'present', proof: `Alertmanager lists alert ${ours.fingerprint}, last updated ${ours.updatedAt}` }
    },

    async undo(plan, context) {
      const { incident } = plan.details
      const alerts = await active(context, incident)
      if (alerts.length > 0)
        await call(
          context,
          'POST',
          'alerts',
          alerts.map((alert) => resolved(alert, context.now())),
        )
      return { incident, resolved: alerts.length }
    },

    async verifyUndo(plan, context): Promise<Observation> {
      const { incident } = plan.details
      const alerts = await active(context, incident)
      if (alerts.length === 0) return { state: 'absent', proof: `Alertmanager has no active alert with incident="${incident}"` }
      const ending = alerts.every((alert) => Date.parse(alert.endsAt) <= context.now() + SETTLE)
      if (ending) return { state: 'pending', reason: 'Alertmanager has the end, and still lists the alert', retryAfter: SETTLE }
      return { state: 'present', proof: `Alertmanager still lists ${alerts.map((alert) => alert.fingerprint).join(', ')}` }
    },

    classify,
  }
}

function describe(incident: IncidentBrief, settings: Config): Details {
  const severity =
    (settings.severities as Readonly<Record<string, string>>)[incident.severity] ?? DEFAULT_SEVERITIES[incident.severity] ?? 'critical'
  return {
    incident: incident.id,
    labels: {
      ...settings.labels,
      alertname: 'CordonIncident',
      incident: incident.id,
      severity,
      entity: `${incident.entity.kind}:${incident.entity.id}`,
    },
    annotations: { title: incident.title, summary: incident.summary, rule: incident.rule, alerts: String(incident.alerts) },
    startsAt: formatTime(incident.openedAt),
    endsAt: formatTime(incident.openedAt + YEAR),
  }
}

interface ActiveAlert {
  readonly fingerprint: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly startsAt: string
  readonly endsAt: string
  readonly updatedAt: string
}

function readAlert(alert: JsonObject): ActiveAlert {
  const text = (name: string) => getText(alert, name) ?? ''
  return {
    fingerprint: text('fingerprint'),
    labels: textsOf(alert.labels),
    annotations: textsOf(alert.annotations),
    startsAt: text('startsAt'),
    endsAt: text('endsAt'),
    updatedAt: text('updatedAt'),
  }
}

const resolved = ({ labels, annotations, startsAt }: ActiveAlert, now: number) => ({
  labels,
  annotations,
  startsAt,
  endsAt: formatTime(now),
})

function textsOf(value: unknown): Record<string, string> {
  return isObject(value) ? Object.fromEntries(Object.entries(value).map(([key, text]) => [key, String(text)])) : {}
}

/** Alertmanager drops empty labels and annotations, so absent and empty are the same. */
function sameTexts(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].every((key) => (one[key] ?? '') === (other[key] ?? ''))
}
