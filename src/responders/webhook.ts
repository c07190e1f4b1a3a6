import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { isObject, type Json, parseForeignJson, stringifyJson } from '../event/json.ts'
import { formatTime } from '../event/time.ts'
import { ENCRYPTED_HINT, encrypted, endpoint } from './endpoint.ts'
import { classify, statusFailure, VendorError } from './failure.ts'
import type { HttpResponse } from './http.ts'
import type { ApprovalLink, ConnectedResponder, Failure, IncidentBrief, Observation, Responder, Target } from './responder.ts'
import { excerpt, readSecret, secretRef } from './secret.ts'
import { fillTemplate, type TemplateData } from './template.ts'

const config = z
  .strictObject({
    ...endpoint,
    secret: secretRef.describe('signing secret of Standard Webhooks: whsec_ and base64 of 24 to 64 bytes'),
    body: z.json().optional().describe('JSON to send instead of the standard one; its strings may hold {{incident.title}} and the like'),
  })
  .refine(encrypted, ENCRYPTED_HINT)
type Config = z.infer<typeof config>

const TIMEOUT = 15_000

type Details = {
  readonly body: string
}

/**
 * Tells another system about an incident, signed after Standard Webhooks 1.0. The webhook-id derives from the effect, so a receiver
 * that follows that specification takes a repeat once. Nothing can be read back: confirmed means accepted.
 */
export const webhook = {
  name: 'webhook',
  title: 'Notify by signed webhook',
  verb: 'notify',
  effect: 'notify',
  reversible: false,
  target: 'incident',
  needs: [],
  permissions: ['POST to the one address'],
  config,
  example: `url: https://hooks.example.com/cordon
secret: { env: CORDON_WEBHOOK_SECRET }
body:
  text: "{{incident.severity}}: {{incident.title}}"
  details: "{{incident.summary}}"
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 10 * 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const secret = readSecret(settings.secret)
  const key = signingKey(secret)
  return {
    async check(context) {
      // No method is free of effect by contract with an unknown receiver but these two; any answer shows that it can be reached.
      await context.http.request({ method: 'HEAD', url: settings.url, timeout: TIMEOUT, signal: context.signal })
    },

    async plan(target, context) {
      const details: Details = { body: stringifyJson(bodyFor(settings, target, context.incident)) }
      return {
        summary: `Notify ${new URL(settings.url).host} of incident ${context.incident.id}`,
        calls: ['POST'],
        details,
      }
    },

    async run(plan, context) {
      const body = withLinks(plan.details.body, context.approvals)
      const id = `msg_${context.idempotencyKey}`
      const timestamp = String(Math.floor(context.now() / 1000))
      const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
      const response = await context.http.request({
        method: 'POST',
        url: settings.url,
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': `v1,${signature}`,
        },
        body,
        timeout: TIMEOUT,
        signal: context.signal,
      })
      if (response.status < 200 || response.status > 299) throw new VendorError(judge(response, secret))
      return { status: response.status, webhook_id: id }
    },

    async verify(_plan, context): Promise<Observation> {
      const status = context.attempt?.answer?.status
      if (typeof status === 'number') return { state: 'present', proof: `accepted by the receiver with ${status}; it cannot be read back` }
      return {
        state: 'absent',
        proof: 'no acceptance was recorded, and the receiver cannot be asked; a repeat carries the same webhook-id',
      }
    },

    classify,
  }
}

/** Standard Webhooks: 410 asks never to be called again; any other failure but a client error is worth a retry, for the id is stable. */
function judge(response: HttpResponse, secret: string): Failure {
  const reason = `the receiver answers ${response.status} ${excerpt(response.body, [secret])}`
  if (response.status === 410) return { kind: 'final', reason: 'the receiver is gone (410) and wants no more webhooks' }
  return response.status >= 500 ? { ...statusFailure(response, reason), kind: 'retry' } : statusFailure(response, reason)
}

/** The links of whoever reads these messages: in the message alone, and in nothing that is kept. */
function withLinks(body: string, approvals: readonly ApprovalLink[]): string {
  const message = approvals.length === 0 ? undefined : parseForeignJson(body)
  if (message === undefined || !isObject(message)) return body
  const links = approvals.map(({ until, ...link }) => ({ ...link, until: formatTime(until) }))
  return stringifyJson({ ...message, approvals: links })
}

function bodyFor(settings: Config, target: Target, incident: IncidentBrief): Json {
  if (settings.body !== undefined) return fillTemplate(settings.body as Json, templateData(target, incident))
  const { id, title, severity, status, rule, summary, alerts, entity } = incident
  return {
    type: 'cordon.incident',
    timestamp: formatTime(incident.openedAt),
    data: {
      incident: { id, title, severity, status, rule, summary, alerts, opened_at: formatTime(incident.openedAt) },
      entity: { kind: entity.kind, id: entity.id, facts: { ...entity.facts } },
      target: { kind: target.kind, id: target.id },
    },
  }
}

/** The names that a body may use: the incident's, `entity.*` and `target.*`, and the facts of the entity by their ECS names. */
function templateData(target: Target, incident: IncidentBrief): TemplateData {
  return {
    ...incident.entity.facts,
    'incident.id': incident.id,
    'incident.title': incident.title,
    'incident.severity': incident.severity,
    'incident.status': incident.status,
    'incident.summary': incident.summary,
    'incident.alerts': String(incident.alerts),
    'incident.opened_at': formatTime(incident.openedAt),
    'rule.title': incident.rule,
    'entity.kind': incident.entity.kind,
    'entity.id': incident.entity.id,
    'target.kind': target.kind,
    'target.id': target.id,
  }
}

/** Standard Webhooks, "Signature scheme": the secret is base64 after `whsec_`, 24 to 64 bytes. */
function signingKey(secret: string): Buffer {
  const key = Buffer.from(secret.startsWith('whsec_') ? secret.slice('whsec_'.length) : '', 'base64')
  if (key.length >= 24 && key.length <= 64) return key
  throw new CordonError('WEBHOOK_SECRET', 'the signing secret is not whsec_ followed by base64 of 24 to 64 bytes', {
    hint: 'make one with: echo "whsec_$(openssl rand -base64 32)"',
  })
}
