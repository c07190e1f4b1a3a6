import type { Event } from '../event/event.ts'
import type { RuleSet } from '../sigma/ast.ts'
import { alertingDetections } from '../sigma/load.ts'
import type { Room } from './correlation/room.ts'
import { type Unit, unitsOf } from './correlation/units.ts'
import { expiredEntry } from './match/expiry.ts'
import { facts } from './match/explain.ts'
import { compileMatcher } from './match/matcher.ts'
import { unknownPosture } from './match/posture.ts'
import { withoutRefused, withoutUnrunnable } from './runnable.ts'
import type { Signal } from './signal.ts'
import { createSignalMaker, type Place } from './signal-maker.ts'

/** A correlation, as far as it concerns whoever makes or carries its signals. */
export interface DetectorUnit {
  /** What signals call it. */
  readonly key: string
  /** Id of its rule. */
  readonly rule: string
  /** 1 over detection rules only. */
  readonly depth: number
  /** G = timespan + grace: what was ingested further apart never meets in it. Milliseconds. */
  readonly sight: number
  /** How far from an anchor's ingestion the events may have been ingested that it depends on. Milliseconds. */
  readonly reach: number
  /** How many groups it takes in. */
  readonly room: Room | undefined
  /** Of its signals with one group and value, the first in each such step of stamps stands for all. Milliseconds. */
  readonly step?: number
  /** The keys of the correlations above it. */
  readonly above: ReadonlySet<string>
}

/** A rule set, compiled: what the match stage runs on every event. */
export interface Detector {
  /** The rules that can be run; what cannot is in the diagnostics. */
  readonly rules: RuleSet
  /** The id by which signals name the rules. */
  readonly bundle: string
  /** The correlations that are not off, by their keys. */
  readonly units: ReadonlyMap<string, DetectorUnit>
  /** The signals that the event gives: none for nearly every event. */
  detect(event: Event, place: Place): readonly Signal[]
  /** Whether the rule alerts by itself, event by event. */
  isSingle(rule: string): boolean
}

export interface DetectorOptions {
  /** Default: the hash of the rules, for where they never change. */
  readonly bundle?: string
  /** Treat every event as belonging to every log source. */
  readonly anyLogsource?: boolean
  /** Leave out what people read about a hit (its facts), where only the alerts are wanted. */
  readonly factless?: boolean
}

/** Compiles a rule set. Rules that are off are not evaluated at all. */
export function compileDetector(
  given: RuleSet,
  { bundle = given.hash, anyLogsource = false, factless = false }: DetectorOptions = {},
): Detector {
  const loaded = withoutUnrunnable(given)
  const matcher = compileMatcher(loaded.detections, { anyLogsource })
  const rules = withoutRefused(loaded, matcher.refused)
  const units = unitsOf(rules)
  const keys = new Map([...units.values()].map(({ key, rule }) => [rule.id, key]))
  const alerting = new Set(alertingDetections(rules).map(({ id }) => id))
  const isSingle = (rule: string) => alerting.has(rule)
  const signalsOf = createSignalMaker(
    // The matcher counts the rules that were loaded, also those that cannot be run.
    { detections: loaded.detections, correlations: rules.correlations },
    { bundle, isSingle, unitOf: (id) => keys.get(id)!, facts: factless ? () => [] : facts, expiredEntry, unknownPosture },
  )
  return {
    rules,
    bundle,
    units: new Map([...units.values()].map((unit) => [unit.key, detectorUnit(unit)])),
    isSingle,
    detect(event, place) {
      const matched = matcher.match(event)
      return matched.length === 0 ? NONE : signalsOf(event, matched, place)
    },
  }
}

function detectorUnit(unit: Unit): DetectorUnit {
  const { key, rule, depth, span, room, reach, course } = unit
  const above = (below: Unit): readonly string[] => below.parents.flatMap((parent) => [parent.key, ...above(parent)])
  return {
    key,
    rule: rule.id,
    depth,
    sight: span.sight,
    reach,
    room,
    ...(course === undefined ? {} : { step: course.step }),
    above: new Set(above(unit)),
  }
}

const NONE: readonly Signal[] = []
