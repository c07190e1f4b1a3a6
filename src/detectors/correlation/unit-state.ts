import type { AlertRevision } from '../alert.ts'
import type { Signal } from '../signal.ts'
import type { Chained } from './chain.ts'
import type { Entry } from './change.ts'
import { Courses } from './courses.ts'
import { Group } from './group.ts'
import { Doors } from './room.ts'
import type { Unit } from './units.ts'

/** A row of the correlator's state, as a checkpoint keeps it. */
export interface StateRow {
  readonly unit: string
  readonly group: string
  readonly signal: Signal
  readonly counted: boolean
  readonly holds: boolean
  readonly anchor: boolean
}

/** What handling a record changed: what to write, what to delete, what to publish. All of it belongs in one transaction. */
export interface Outcome {
  readonly revisions: readonly AlertRevision[]
  /** For the signals log, in this order: anchors of correlations that others refer to, and progress of these. */
  readonly chained: readonly Chained[]
  readonly changed: readonly StateRow[]
  readonly evicted: readonly StateRow[]
}

/** An outcome that is being put together. */
export type Draft = { readonly [part in keyof Outcome]: Outcome[part][number][] }

/** What is kept of a unit: it is the same for all bundles that have it. */
export interface UnitState {
  readonly unit: Unit
  readonly groups: Map<string, Group>
  /** Instead of groups, where the unit asks about their course. */
  readonly courses: Courses | undefined
  /** Which groups have a place. */
  readonly doors: Doors
  sweptAt: number
}

export function newUnitState(unit: Unit): UnitState {
  return {
    unit,
    groups: new Map(),
    courses: unit.course && new Courses(unit.course, unit.room),
    doors: new Doors(unit.key, unit.room),
    sweptAt: Number.NEGATIVE_INFINITY,
  }
}

export function groupOf({ groups, unit }: UnitState, key: string): Group {
  let group = groups.get(key)
  if (group === undefined) {
    group = new Group(unit.span, unit.condition)
    groups.set(key, group)
  }
  return group
}

/** Names a row among those of its partition. Of an anchor of a correlation below there is one, whatever the newest word of it. */
export function rowKey({ unit, group, signal: { depth, eventId, partition, offset } }: StateRow): string {
  return JSON.stringify(depth === 0 ? [unit, group, eventId, partition, offset] : [unit, group, eventId])
}

export function stateRow({ unit }: UnitState, group: string, { signal, counted, holds, anchor }: Entry): StateRow {
  return { unit: unit.key, group, signal, counted, holds, anchor }
}
