import type { Event } from '../event/event.ts'
import type { RuleSet } from '../sigma/ast.ts'
import { alertingDetections } from '../sigma/load.ts'
import { expiredEntry } from './match/expiry.ts'
import { facts } from './match/explain.ts'
import { compileMatcher } from './match/matcher.ts'
import type { Signal } from './signal.ts'
import { createSignalMaker, type Place } from './signal-maker.ts'

/** A rule set, compiled: what the match stage runs on every event. */
export interface Detector {
  readonly rules: RuleSet
  /** The signals that the event gives: none for nearly every event. */
  detect(event: Event, place: Place): readonly Signal[]
  /** Whether the rule alerts by itself, event by event. */
  isSingle(rule: string): boolean
}

export interface DetectorOptions {
  /** Treat every event as belonging to every log source. */
  readonly anyLogsource?: boolean
  /** Leave out what people read about a hit (its facts), where only the alerts are wanted. */
  readonly factless?: boolean
}

/** Compiles a rule set. Rules that are off are not evaluated at all. */
export function compileDetector(rules: RuleSet, { anyLogsource = false, factless = false }: DetectorOptions = {}): Detector {
  const active: RuleSet = { ...rules, detections: rules.detections.filter(({ extension }) => extension.mode !== 'off') }
  const alerting = new Set(alertingDetections(active).map(({ id }) => id))
  const matcher = compileMatcher(active.detections, { anyLogsource })
  const signalsOf = createSignalMaker(active, alerting, { facts: factless ? () => [] : facts, expiredEntry })
  return {
    rules,
    isSingle: (rule) => alerting.has(rule),
    detect(event, place) {
      const matched = matcher.match(event)
      return matched.length === 0 ? NONE : signalsOf(event, matched, place)
    },
  }
}

const NONE: readonly Signal[] = []
