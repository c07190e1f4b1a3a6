import { CordonError } from '../../event/error.ts'
import { oneLine } from '../../event/text.ts'
import { formatTime } from '../../event/time.ts'
import { classify, VendorError } from '../failure.ts'
import type { ConnectedResponder, IncidentBrief, Observation, Plan, ResponderContext, Target } from '../responder.ts'
import { readSecret, type SecretRef } from '../secret.ts'
import { compileTemplate, type TemplateData } from '../template.ts'
import { type Caller, Client, isSuccess } from './client.ts'
import type { Act, ActRequest, Definition, Look, LookTarget, ReadBack, Value } from './definition.ts'
import { hearing } from './hear.ts'
import { type Facts, type Found, find, holds, take } from './judge.ts'
import type { IncidentName } from './names.ts'
import { mrkdwn, placeBody, placeTarget } from './place.ts'
import { type Settings, secretRefs, settingValues } from './settings.ts'

/** What a plan keeps: the values that its requests are filled with. What a change of the configuration brings later has no part in it. */
type Details = { readonly data: TemplateData }

const SOONEST = 1_000
const LATEST = 60_000
/** Clocks differ: what the vendor says is of this attempt may bear a time so much earlier. Milliseconds. */
const CLOCKS = 60_000

/** A declared responder with its credentials: what the built-in ones do in code, from a file. */
export function connect(definition: Definition, names: ReadonlySet<string>, config: Settings): ConnectedResponder<Details> {
  const secrets = Object.entries(secretRefs(definition, config)).map(([name, ref]) => [`secret.${name}`, readSecret(ref)] as const)
  const secretData: TemplateData = Object.fromEntries(secrets)
  const settings = settingValues(definition, config)
  const client = new Client(
    definition,
    config,
    { ...settings, ...secretData },
    secrets.map(([, secret]) => secret),
  )

  const ask = (caller: Caller, target: LookTarget, data: TemplateData) =>
    client.send(caller, { method: 'GET', ...placeTarget(target, data) })

  const search = async (context: ResponderContext, look: Look, data: TemplateData): Promise<Found> => {
    const reply = await ask(context, look, data)
    client.accept(reply)
    return find(look, reply, { data })
  }

  const send = async (caller: Caller, request: ActRequest, data: TemplateData) => {
    const { path, headers } = placeTarget(request, { ...data, ...secretData })
    const { headers: typed, ...body } = placeBody(request, { ...data, ...secretData })
    const reply = await client.send(caller, { method: request.method, path, headers: { ...headers, ...typed }, ...body })
    return { ...reply, ...client.accept(reply) }
  }

  const perform = async (act: Act, data: TemplateData, context: ResponderContext): Promise<Readonly<Record<string, unknown>>> => {
    const known = act.find === undefined ? undefined : await search(context, act.find, data)
    const found = known !== undefined && known.count > 0
    const request = found ? act.found : act.request
    const foundData = prefixed('found', known?.taken ?? {})
    if (request === undefined) return { ...known?.taken, sent: false }
    const answer = await send(context, request, { ...data, ...foundData })
    // Two that looked at the same moment both create. It was accepted all the same, whatever becomes of this look.
    const after = act.find === undefined || found ? undefined : await search(context, act.find, data).catch(() => undefined)
    return {
      ...(found ? known.taken : {}),
      ...take(act.take, answer.body),
      status: answer.status,
      ...(answer.earlier ? { earlier: true } : {}),
      ...(after !== undefined && after.count > 1 ? { duplicates: after.count - 1 } : {}),
    }
  }

  const readBack = async (
    readings: ReadBack,
    plan: Plan<Details>,
    context: ResponderContext,
    doing: 'run' | 'undo',
  ): Promise<Observation> => {
    const { attempt } = context
    if (readings === 'accepted') return asAccepted(attempt?.answer, doing)
    const data = { ...plan.details.data, ...attemptData(context) }
    const reading = readings.find((candidate) => namesOf(candidate).every((name) => Object.hasOwn(data, name)))
    if (reading === undefined) throw new CordonError('TEMPLATE_NAME', `${definition.name} has nothing to read this back by`)
    const reply = await ask(context, reading, data)
    const facts: Facts = { data, answered: attempt?.answer !== undefined }
    // A refusal says nothing about the effect, unless the file says what just this status means.
    const telling = isSuccess(reply) ? reading.states : reading.states.filter(({ when }) => when.some(({ status }) => status !== undefined))
    if (isSuccess(reply)) client.accept(reply)
    const seen = isSuccess(reply) ? find(reading, reply, facts) : { item: reply.body, count: 0, taken: {} }
    const state = telling.find(({ when }) => holds(when, { status: reply.status, body: seen.item }, { ...facts, found: seen.count > 0 }))
    if (state === undefined) {
      client.accept(reply)
      throw new VendorError({ kind: 'unknown', reason: `the vendor shows a state that ${definition.name} does not know` })
    }
    const words = sentence(state.say, { ...data, ...prefixed('seen', seen.taken) })
    return observation(state.state, words, context, residual(definition, plan.details.data, context))
  }

  return {
    async check(context) {
      if (definition.check === 'reachable') await client.reach(context)
      else client.accept(await ask(context, definition.check, settings))
    },

    async plan(target, context) {
      let data = planData(definition, target, context, settings)
      for (const step of definition.plan.looks) {
        const found = await search(context, step, data)
        const missing = Object.keys(step.take).filter((name) => found.taken[name] === undefined)
        if (found.count === 0 || missing.length > 0) throw new VendorError({ kind: 'final', reason: sentence(step.otherwise, data) })
        data = { ...data, ...prefixed('plan', found.taken) }
      }
      const kept = Object.fromEntries(Object.entries(data).filter(([name]) => names.has(name)))
      const { request, found } = definition.run
      return {
        summary: sentence(definition.plan.summary, data),
        calls: [request, found].flatMap((call) => (call === undefined ? [] : [inWords(call, data)])),
        details: { data: kept },
      }
    },

    run: (plan, context) => perform(definition.run, { ...plan.details.data, ...attemptData(context) }, context),
    verify: (plan, context) => readBack(definition.confirm, plan, context, 'run'),
    ...(definition.undo === undefined ? {} : undoing(definition.undo, definition.confirm_undo!)),
    classify,
    ...(definition.webhook === undefined || config.webhook_secret === undefined
      ? {}
      : { hear: hearing(definition.webhook, readSecret(config.webhook_secret as SecretRef)) }),
  }

  function undoing(undo: Act, confirmed: ReadBack): Pick<ConnectedResponder<Details>, 'undo' | 'verifyUndo'> {
    return {
      undo: (plan, context) => perform(undo, { ...plan.details.data, ...attemptData(context) }, context),
      verifyUndo: (plan, context) => readBack(confirmed, plan, context, 'undo'),
    }
  }
}

/** Everything that is known before the vendor is asked, by the names that templates use. */
function planData(definition: Definition, target: Target, context: ResponderContext, settings: TemplateData): TemplateData {
  const missing = definition.needs.filter((need) => target.facts[need] === undefined)
  if (missing.length > 0)
    throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} lacks ${missing.join(' and ')}`, {
      hint: 'the inventory can say it',
    })
  const data: TemplateData = {
    ...Object.fromEntries(definition.needs.map((need) => [need, target.facts[need]!])),
    'target.kind': target.kind,
    'target.id': target.id,
    'target.name': target.facts[`${target.kind}.name`] ?? target.facts[`${target.kind}.email`] ?? target.id,
    ...incidentData(context.incident),
    ...settings,
    'effect.key': context.idempotencyKey,
  }
  const values = Object.entries(definition.values).map(([name, value]) => [`value.${name}`, following(value, data[value.from]!)] as const)
  return { ...data, ...Object.fromEntries(values) }
}

function following(value: Value, from: string): string {
  if ('escape' in value) return mrkdwn(from)
  return Object.hasOwn(value.to, from) ? value.to[from]! : value.otherwise
}

function incidentData(incident: IncidentBrief): TemplateData {
  const data: Record<IncidentName, string> = {
    id: incident.id,
    title: incident.title,
    headline: headline(incident),
    severity: incident.severity,
    status: incident.status,
    summary: incident.summary,
    rule: incident.rule,
    entity: `${incident.entity.kind} ${incident.entity.id}`,
    alerts: String(incident.alerts),
    opened_at: formatTime(incident.openedAt),
  }
  return prefixed('incident', data)
}

/** One line that fits where vendors take a title. */
const HEADLINE = 140

function headline({ severity, title }: IncidentBrief): string {
  const line = oneLine(`[${severity}] ${title}`)
  return line.length <= HEADLINE ? line : `${line.slice(0, HEADLINE - 1).toWellFormed()}…`
}

function attemptData({ attempt, idempotencyKey, now }: ResponderContext): TemplateData {
  const answer = Object.entries(attempt?.answer ?? {}).map(([name, value]) => [`answer.${name}`, String(value)])
  const since = formatTime((attempt?.at ?? now()) - CLOCKS)
  return { key: idempotencyKey, 'attempt.since': since, ...Object.fromEntries(answer) }
}

function prefixed(prefix: string, values: Readonly<Record<string, string>>): TemplateData {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}.${name}`, value]))
}

function namesOf({ path, query }: LookTarget): readonly string[] {
  return [path, ...Object.values(query)].flatMap((text) => compileTemplate(text).names)
}

/** In words for people: what has no value is said to be unknown. */
function sentence(text: string, data: TemplateData): string {
  const template = compileTemplate(text)
  const unknown = Object.fromEntries(template.names.map((name) => [name, 'unknown']))
  return template.render({ ...unknown, ...data }, oneLine)
}

/** A call for people to read. What can be put into its path by now is, so that what cannot shows before anybody approves of it. */
function inWords(request: ActRequest, data: TemplateData): string {
  const known = namesOf(request).every((name) => Object.hasOwn(data, name))
  return `${request.method} ${known ? placeTarget({ ...request, headers: {} }, data).path : request.path}`
}

function asAccepted(answer: Readonly<Record<string, unknown>> | undefined, doing: 'run' | 'undo'): Observation {
  const accepted = { state: doing === 'run' ? 'present' : 'absent', proof: 'accepted by the vendor; it cannot be read back' } as const
  if (answer !== undefined) return accepted
  return { state: doing === 'run' ? 'absent' : 'present', proof: 'no acceptance is on record, and the vendor cannot be asked' }
}

function residual({ residual: setting }: Definition, data: TemplateData, { attempt }: ResponderContext): number | undefined {
  return setting === undefined || attempt === undefined ? undefined : attempt.at + Number(data[`config.${setting}`])
}

function observation(
  state: Observation['state'],
  words: string,
  context: ResponderContext,
  residualUntil: number | undefined,
): Observation {
  switch (state) {
    case 'present':
      return { state, proof: words, ...(residualUntil === undefined ? {} : { residualUntil }) }
    case 'absent':
      return { state, proof: words }
    case 'pending': {
      // A quarter of the time waited so far: soon at first, seldom for a device that is shut.
      const waited = context.now() - (context.attempt?.at ?? context.now())
      return { state, reason: words, retryAfter: Math.min(LATEST, Math.max(SOONEST, Math.round(waited / 4))) }
    }
    case 'failed':
      return { state, reason: words }
  }
}
