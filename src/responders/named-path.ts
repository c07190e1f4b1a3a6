import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import type { Target } from './responder.ts'
import { compileTemplate } from './template.ts'

/** What may stand in a path: a value with a slash, or one that is only dots, would lead somewhere else. */
const SEGMENT = /^(?!\.+$)[\w.@:-]{1,128}$/

/** A path at the vendor that names the target: one without any name in it would be the same for everybody. */
export const namedPath = z
  .string()
  .regex(/^[^/\s].*[^/\s]$/, 'no slash at either end')
  .refine((text) => names(text).length > 0, 'must name what it is for, such as {{device.id}}')

/** The names that a path uses; none if it is no template. */
function names(text: string): readonly string[] {
  try {
    return compileTemplate(text).names
  } catch {
    return []
  }
}

/**
 * The path for one target.
 *
 * @throws CordonError `RESPONDER_TARGET` if a value is unknown or no plain name
 */
export function pathFor(template: string, { kind, id, facts }: Target): string {
  const missing = names(template).filter((name) => facts[name] === undefined)
  if (missing.length > 0) throw new CordonError('RESPONDER_TARGET', `${kind} ${id} lacks ${missing.join(' and ')}`)
  return compileTemplate(template).render(facts, (value) => {
    if (SEGMENT.test(value)) return value
    throw new CordonError('RESPONDER_TARGET', `"${value}" of ${kind} ${id} cannot stand in a path`, {
      hint: 'only letters, digits and . _ @ : - may',
    })
  })
}
