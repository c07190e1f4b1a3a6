import { z } from 'zod'
import { PERMISSIONS, PERSON_NAME, ROLES } from '../access/principal.ts'
import { duration } from '../settings/duration.ts'
import type { Settings } from '../settings/settings-file.ts'
import { VERBS } from '../sigma/ast.ts'
import { type Approvals, DEFAULT_TERMS, NO_APPROVALS } from './approval.ts'

const CLASSES = ['notify', 'record', 'contain', 'revoke', 'destroy'] as const
const time = duration.refine((length) => length > 0, 'must be longer than nothing, such as 15m')
const may = ROLES.filter((role) => PERMISSIONS[role].includes('actions:approve'))
const approvers = z
  .array(z.enum(ROLES))
  .min(1)
  .refine((roles) => roles.every((role) => may.includes(role)), `names a role that may approve nothing: ${may.join(' and ')} may`)

/** The shape of approvals.yml. */
export const approvalsFile = z.strictObject({
  approvals: z
    .array(
      z
        .strictObject({
          verb: z.enum(VERBS).optional(),
          class: z.enum(CLASSES).optional(),
          approvers,
          people: z.int().min(1).max(5).optional(),
          ttl: time,
        })
        .refine(({ verb, class: kind }) => (verb === undefined) !== (kind === undefined), 'names a verb or a class')
        .refine(({ class: kind, people = 2 }) => kind !== 'destroy' || people >= 2, {
          path: ['people'],
          message: 'what cannot be taken back takes two people at least',
        }),
    )
    .nullable()
    .default([])
    .refine((terms) => terms === null || new Set(terms.map(({ verb, class: kind }) => verb ?? `class ${kind}`)).size === terms.length, {
      message: 'one verb or class is there twice: only the first would count',
    }),
  people: z
    .array(
      z.strictObject({
        name: z.string().regex(PERSON_NAME, 'expected the name in their keys'),
        role: z.enum(ROLES),
        via: z.string().min(1),
      }),
    )
    .nullable()
    .default([])
    .refine((people) => people === null || new Set(people.map(({ via }) => via)).size === people.length, {
      message: 'two people cannot be reached by one responder: each link is for one person’s eyes',
    }),
  escalation: z
    .array(z.strictObject({ after: time, tell: z.array(z.string().min(1)).min(1) }))
    .nullable()
    .default([])
    .refine((steps) => steps === null || steps.every(({ after }, at) => at === 0 || after > steps[at - 1]!.after), {
      message: 'each step comes later than the one before',
    }),
  break_glass: z.strictObject({ approvers, ttl: time, review: time.default(NO_APPROVALS.breakGlass.review) }).optional(),
})

export function approvalsOf(file: Settings<z.infer<typeof approvalsFile>> | undefined): Approvals {
  if (file === undefined) return NO_APPROVALS
  const { approvals, people, escalation, break_glass: breakGlass } = file.data
  return {
    terms: (approvals ?? []).map(({ verb, class: kind, people: count, ...rest }) => ({
      ...rest,
      people: count ?? (kind === undefined ? 1 : DEFAULT_TERMS[kind].people),
      ...(verb === undefined ? {} : { verb }),
      ...(kind === undefined ? {} : { class: kind }),
    })),
    people: people ?? [],
    escalation: escalation ?? [],
    breakGlass: breakGlass ?? NO_APPROVALS.breakGlass,
  }
}
