import type { AlertRevision } from '../detectors/alert.ts'
import { oneLine } from '../event/text.ts'
import { formatTime } from '../event/time.ts'
import type { IncidentBrief } from '../responders/responder.ts'
import type { Effect, EffectState } from '../response/effect.ts'
import { nounOf } from '../response/words.ts'
import { entityName, type Incident, shortId } from './incident.ts'

/** One screen: what an incident says of itself has at most so many lines, of so many characters each, whatever the values. */
export const MOST_LINES = 25
export const LONGEST_LINE = 140
const LONGEST_TITLE = 200
/** Of what stands in one line. The rest is counted. */
const MOST_IN_A_LINE = 3
const LONGEST_VALUE = 48
const LONGEST_RULE = 60

/** What else is known of an incident when people are told: how its actions stand, and an alert of it that says why. */
export interface Known {
  readonly effects: readonly Pick<Effect, 'id' | 'verb' | 'target' | 'class' | 'state' | 'reversible' | 'approval'>[]
  readonly alert?: Pick<AlertRevision, 'entities' | 'evidence'> | undefined
  /** Nobody has to sign what decided all this. */
  readonly unsigned?: boolean | undefined
}

const NOTHING: Known = { effects: [] }

/** The incident as responders tell it to people. */
export function brief(incident: Incident, known: Known = NOTHING): IncidentBrief {
  return {
    id: incident.id,
    title: cut(incident.title, LONGEST_TITLE),
    severity: incident.severity,
    status: incident.status === 'resolved' ? 'resolved' : 'open',
    openedAt: incident.openedAt,
    rule: incident.rule.title,
    entity: incident.entity,
    summary: summaryOf(incident, known),
    alerts: incident.alerts - incident.withdrawn,
  }
}

/** How an action stands, in the order in which a person at three in the morning wants to know. */
const STANDINGS: readonly (readonly [label: string, states: readonly EffectState[]])[] = [
  ['Act by hand', ['DEAD']],
  ['Waits for approval', ['AWAITING_APPROVAL']],
  ['Held back', ['HELD', 'DENIED']],
  ['Under way', ['READY', 'CLAIMED', 'SENT', 'UNKNOWN', 'RETRY_AT', 'REVERTING']],
  ['Contained', ['CONFIRMED']],
  ['Undone', ['REVERTED']],
  ['Not done', ['SHADOWED', 'REJECTED', 'EXPIRED']],
]

/** What happened, to whom, on which device, why; what was done and confirmed, what waits and until when; how to undo it; where to look. */
function summaryOf(incident: Incident, { effects, alert, unsigned = false }: Known): string {
  const acts = effects.filter((effect) => effect.class !== 'notify' && effect.class !== 'record')
  const words = lastWords(incident)
  const undoable = acts.filter(({ state, reversible }) => reversible && state === 'CONFIRMED')
  const recommended = incident.timeline.filter(({ kind }) => kind === 'recommended').map(({ text }) => text.replace(/^Recommended: /, ''))
  const facts = [...(alert?.entities.map((entity) => entity.facts) ?? []), incident.entity.facts]
  return [
    line('What happened', happened(incident)),
    ...(incident.message === undefined ? [] : [line('The rule says', incident.message)]),
    ...who(facts).map((text) => line('Who', text)),
    ...device(incident, facts).map((text) => line('Device', text)),
    ...some('Why', why(alert)),
    ...STANDINGS.flatMap(([label, states]) => {
      const standing = acts.filter(({ state }) => states.includes(state))
      return few(
        label,
        standing.map((effect) => actionText(effect, words.get(effect.id))),
      )
    }),
    ...few('Recommended', recommended),
    ...some(
      'To undo',
      undoable.map(({ id }) => `cordon actions undo ${shortId(id)}`),
    ),
    ...(incident.resolved === undefined ? [] : [line('Resolved', incident.resolved.reason)]),
    ...(unsigned ? [line('Unsigned', 'rules and policy are taken as they are')] : []),
    line('Look', `cordon incidents show ${shortId(incident.id)}`),
  ].join('\n')
}

function happened({ rule, severity, alerts, withdrawn, firstAlert, lastAlert }: Incident): string {
  const standing = alerts - withdrawn
  const span = minute(firstAlert) === minute(lastAlert) ? `at ${minute(firstAlert)}` : `from ${minute(firstAlert)} to ${minute(lastAlert)}`
  return `"${cut(rule.title, LONGEST_RULE)}" (${severity}), ${standing === 1 ? '1 alert' : `${standing} alerts`} ${span}`
}

type Facts = Readonly<Record<string, string>>

/** The first word on each of these fields. */
const firstOf = (facts: readonly Facts[], field: string) => facts.find((known) => known[field] !== undefined)?.[field]

function who(facts: readonly Facts[]): string[] {
  const user = firstOf(facts, 'user.name') ?? firstOf(facts, 'user.email') ?? firstOf(facts, 'user.id') ?? firstOf(facts, 'device.owner')
  const agent = firstOf(facts, 'gen_ai.agent.name')
  const words = [user === undefined ? [] : [value(user)], agent === undefined ? [] : [`agent ${value(agent)}`]].flat()
  return words.length === 0 ? [] : [words.join(', ')]
}

function device({ entity }: Incident, facts: readonly Facts[]): string[] {
  if (entity.kind === 'device') return [entityName(entity).replace(/^device /, '')]
  const name = firstOf(facts, 'device.name') ?? firstOf(facts, 'device.id')
  return name === undefined ? [] : [value(name)]
}

/** The values that met the rule, each field and value once. */
function why(alert: Known['alert']): string[] {
  const facts = alert?.evidence.flatMap((evidence) => evidence.facts.flatMap((part) => part.facts)) ?? []
  return [...new Set(facts.map((fact) => `${fact.field} ${value(fact.value)}`))]
}

/** The latest word on each action, from the incident's story. */
function lastWords({ timeline }: Incident): ReadonlyMap<string, string> {
  return new Map(timeline.flatMap(({ kind, effect, text }) => (kind === 'action' && effect !== undefined ? [[effect, text] as const] : [])))
}

function actionText(effect: Known['effects'][number], words = 'no word on it yet'): string {
  if (effect.state !== 'AWAITING_APPROVAL') return words
  const until = effect.approval === undefined ? '' : `, until ${minute(effect.approval.until)}`
  return `${value(nounOf(effect))}${until}: cordon actions approve ${shortId(effect.id)}`
}

/** A line each, two at most. */
function few(label: string, texts: readonly string[]): string[] {
  const [first, second] = texts
  if (first === undefined) return []
  const rest = texts.length > 2 ? `and ${texts.length - 1} more` : second
  return [line(label, first), ...(rest === undefined ? [] : [line(label, rest)])]
}

/** All in one line, the first few. */
function some(label: string, texts: readonly string[]): string[] {
  if (texts.length === 0) return []
  const rest = texts.length - MOST_IN_A_LINE
  return [line(label, texts.slice(0, MOST_IN_A_LINE).join('; ') + (rest > 0 ? `; and ${rest} more` : ''))]
}

/** `2026-03-01 10:00 UTC`. */
const minute = (time: number) => `${formatTime(time).slice(0, 16).replace('T', ' ')} UTC`

const line = (label: string, text: string) => cut(`${label}: ${text}`, LONGEST_LINE)
const value = (text: string) => cut(text, LONGEST_VALUE)

/** One line of at most so many characters; what was cut off is marked. */
function cut(text: string, most: number): string {
  const clean = oneLine(text)
  return clean.length <= most ? clean : `${clean.slice(0, most - 1).toWellFormed()}…`
}
