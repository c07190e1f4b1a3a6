import type { AlertRevision, Entity } from '../detectors/alert.ts'
import { LEVELS, type Level, type Verb } from '../sigma/ast.ts'

export const INCIDENT_STATUSES = ['open', 'acknowledged', 'resolved'] as const
export type IncidentStatus = (typeof INCIDENT_STATUSES)[number]

/** One line of an incident's story, in plain words. Alerts of one rule share a line, so a story stays short however many come. */
export interface TimelineEntry {
  readonly at: number
  readonly kind:
    | 'opened'
    | 'alerts'
    | 'severity'
    | 'withdrawn'
    | 'reopened'
    | 'acknowledged'
    | 'resolved'
    | 'action'
    | 'told'
    | 'recommended'
  readonly text: string
  /** `action`: the effect on the world that it tells of; `told`: the effect by which people were told. */
  readonly effect?: string
  /** `alerts`: the rule of which `count` alerts joined. */
  readonly rule?: string
  /** How often what the line says has happened, and when last. */
  readonly count?: number
  readonly last?: number
}

/** What a rule asked for and is not done by itself, and why: for a person to decide. */
export interface Recommendation {
  readonly verb: Verb
  /** `device laptop-7`; empty where it is not known what it would have been. */
  readonly target: string
  readonly reason: string
  readonly alert: string
}

export interface Incident {
  /** hash(primary entity, first alert): the same however often the alerts log is read. People use the first eight digits. */
  readonly id: string
  /** Grows by one with every change: compare-and-set. */
  readonly version: number
  /** Grows with every change that on-call must hear of; `notify` and `create_incident` tell each once. */
  readonly revision: number
  readonly title: string
  /** What the rule has to say to on-call besides. */
  readonly message?: string
  readonly status: IncidentStatus
  readonly severity: Level
  readonly entity: Entity
  /** The rule that opened it. */
  readonly rule: { readonly id: string; readonly title: string }
  readonly openedAt: number
  /** Event times of its earliest and latest alert: what decides whether another alert joins. */
  readonly firstAlert: number
  readonly lastAlert: number
  /** Alerts that ever joined, how many of them were withdrawn since, and how many joined silently. */
  readonly alerts: number
  readonly withdrawn: number
  readonly silent: number
  /** Suppression key → event time from which repetitions are silent. */
  readonly quiet: Readonly<Record<string, number>>
  /** Ids of the effects that were asked for in it. */
  readonly effects: readonly string[]
  readonly recommendations: readonly Recommendation[]
  readonly timeline: readonly TimelineEntry[]
  readonly resolved?: { readonly at: number; readonly reason: string }
}

/** How an alert stands with the incidents: written with every revision, its `incident` only once. */
export interface Standing {
  readonly alert: string
  readonly version: number
  readonly rev: number
  readonly state: AlertRevision['state']
  /** Absent where the rule is in shadow mode. */
  readonly incident?: string
  /** It, or an alert whose place it took, has been answered as a detection: a revision of it is no new one. */
  readonly detected: boolean
  /** When the event was taken in whose copies name the alert, of the revision that was answered. Milliseconds. */
  readonly anchored?: number
}

/** The form of an incident's, alert's or effect's id that people read and type. */
export function shortId(id: string): string {
  return id.slice(0, 8)
}

export function higher(a: Level, b: Level): Level {
  return LEVELS.indexOf(a) >= LEVELS.indexOf(b) ? a : b
}

/** The name by which an entity's open incident is found. */
export function entityKey(entity: Pick<Entity, 'kind' | 'id'>): string {
  return `${entity.kind}:${entity.id}`
}

/** `device laptop-7 (d1)`: with the name that people know it by, where there is one. */
export function entityName(entity: Entity): string {
  const name = entity.facts[`${entity.kind}.name`] ?? entity.facts[`${entity.kind}.email`]
  const kind = entity.kind.replaceAll('_', ' ')
  return name === undefined || name === entity.id ? `${kind} ${entity.id}` : `${kind} ${name} (${entity.id})`
}
