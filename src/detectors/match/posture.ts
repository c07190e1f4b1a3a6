import type { Event } from '../../event/event.ts'
import { compileEcsField } from '../../event/field.ts'
import { type DetectionRule, POSTURE_FIELDS } from '../../sigma/ast.ts'

const READERS = new Map(POSTURE_FIELDS.map((field) => [field, compileEcsField(field)]))

/**
 * The posture without which a hit cannot be judged: the rule's requirements that are unknown, where it says that this alerts and none of
 * them is known to be violated. Such an alert tells people, and never acts by itself (docs/design.md section 3, "Three verdicts").
 */
export function unknownPosture({ extension: { posture } }: DetectionRule, event: Event): readonly string[] {
  if (posture?.unknown !== 'alert') return NONE
  const values = posture.require.map((field) => READERS.get(field)!(event))
  return values.includes(false) ? NONE : posture.require.filter((_, at) => values[at] === undefined)
}

const NONE: readonly string[] = []
