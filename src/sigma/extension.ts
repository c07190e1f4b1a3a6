import { z } from 'zod'
import { type Extension, POSTURE_FIELDS, type ResponseRequest, TELLING_VERBS, VERBS } from './ast.ts'
import { parseDuration } from './duration.ts'
import { readTests, testSchema } from './extension-tests.ts'
import { type Account, parseDate } from './list.ts'
import { didYouMean, editDistance, type Problems } from './problems.ts'
import { entryOf, nodeAt, toData, type YamlMap, type YamlNode } from './yaml.ts'

export const SECTION = 'x-cordon'

const DEFAULT_GRACE = 15 * 60_000
/** More than a group has of what a rule can ask about, and some 5 MB of state. */
const VALUES_REMEMBERED = 10_000
const DEFAULT_ENTITIES = { device: 'device.id', user: 'user.id', agent: 'gen_ai.agent.name', agent_session: 'gen_ai.conversation.id' }
/** Of a rule that has no section of its own. */
export const DEFAULT_EXTENSION: Extension = {
  mode: 'alert',
  grace: DEFAULT_GRACE,
  entities: DEFAULT_ENTITIES,
  suppress: undefined,
  response: [],
  tests: [],
}

/** Of the design, and refused until they work: a rule that asks for one must not run as if it had not. */
const NOT_BUILT = ['risk', 'version']

const text = z.string().min(1)
const duration = text.transform((value, context) => {
  const milliseconds = parseDuration(value)
  if (milliseconds !== undefined) return milliseconds
  context.addIssue({ code: 'custom', message: 'expected a duration such as 90s, 15m, 1h or 7d' })
  return z.NEVER
})
const date = text.transform((value, context) => {
  const time = parseDate(value)
  if (time !== null) return time
  context.addIssue({ code: 'custom', message: 'expected a date such as 2027-06-30' })
  return z.NEVER
})

/** Words for people, with `{{field}}` of the alert and nothing else of mustache. */
const wording = text.refine((words) => !/\{\{(?!\s*[\w.@-]+\s*\}\}(?!\}))/.test(words), 'besides text only {{field}} can stand here')

const responseSchema = z.strictObject({
  do: z.enum(VERBS),
  target: text.optional(),
  title: wording.optional(),
  message: wording.optional(),
})

const postureSchema = z.strictObject({
  require: z.array(z.enum(POSTURE_FIELDS)).min(1),
  unknown: z.enum(['pass', 'alert', 'fail']),
})

const ruleSchema = z.strictObject({
  mode: z.enum(['off', 'shadow', 'alert', 'enforce']).default('alert'),
  time: z.strictObject({ grace: duration }).optional(),
  entities: z.record(z.string(), text).default({}),
  posture: postureSchema.optional(),
  first_seen: z.strictObject({ learn: duration, values: z.int().min(2).default(VALUES_REMEMBERED) }).optional(),
  silence: z.literal(true).optional(),
  gaps: z.strictObject({ wait: duration }).optional(),
  relies_on: z.array(text).min(1).optional(),
  groups: z.int().min(1).optional(),
  suppress: z.strictObject({ by: z.union([text.transform((by) => [by]), z.array(text).min(1)]), for: duration }).optional(),
  response: z.array(responseSchema).default([]),
  tests: z.array(testSchema).default([]),
})

const filterSchema = z.strictObject({
  list: z.strictObject({
    owner: text.optional(),
    entries: z.record(
      z.string(),
      z.strictObject({ reason: text.optional(), owner: text.optional(), expires: date.optional(), approved_by: text.optional() }),
    ),
  }),
})

/** Reads the `x-cordon` section of a rule or correlation, with defaults filled in; undefined where something in it is wrong. */
export function readExtension(root: YamlMap, kind: 'detection' | 'correlation', problems: Problems): Extension | undefined {
  const section = sectionOf(root, problems)
  if (section === undefined) return DEFAULT_EXTENSION
  const written = parse(section, ruleSchema, problems)
  if (written === undefined) return undefined
  const entities = { ...DEFAULT_ENTITIES, ...written.entities }
  for (const [index, request] of written.response.entries()) {
    const { target } = request
    if (target !== undefined) checkEntity(target, entities, nodeAt(section, ['response', index, 'target']), problems)
    const words = TELLING_VERBS.includes(request.do) ? [] : (['title', 'message'] as const).filter((key) => request[key] !== undefined)
    for (const key of words)
      problems.error(
        'CORDON-KEY-MISPLACED',
        nodeAt(section, ['response', index, key]),
        `"${key}" is for people, and ${request.do} tells nobody`,
        `say it with ${TELLING_VERBS.join(' or ')}`,
      )
  }
  for (const [index, { expect }] of written.tests.entries()) {
    for (const name of Object.keys(expect.entities ?? {}))
      checkEntity(name, entities, nodeAt(section, ['tests', index, 'expect', 'entities', name]), problems)
  }
  const { posture, first_seen: firstSeen, silence, gaps, groups } = written
  for (const key of kind === 'detection' ? (['first_seen', 'silence', 'gaps', 'relies_on', 'groups'] as const) : [])
    if (written[key] !== undefined)
      problems.error(
        'CORDON-KEY-MISPLACED',
        nodeAt(section, [key]),
        `a detection rule has no "${key}"`,
        'it asks about the events of a rule: put it into a correlation over this one',
      )
  if (posture !== undefined && kind === 'correlation')
    problems.error(
      'CORDON-KEY-MISPLACED',
      nodeAt(section, ['posture']),
      'a correlation has no posture of its own',
      'ask for it in the rule that it refers to',
    )
  const tests = readTests(written.tests, nodeAt(section, ['tests']), kind, problems)
  return {
    mode: written.mode,
    grace: written.time?.grace ?? DEFAULT_GRACE,
    entities,
    ...(posture === undefined ? {} : { posture }),
    ...(firstSeen === undefined ? {} : { firstSeen }),
    ...(silence === undefined ? {} : { silence }),
    ...(gaps === undefined ? {} : { gaps }),
    ...(groups === undefined ? {} : { groups }),
    suppress: written.suppress,
    response: written.response as readonly ResponseRequest[],
    tests,
  }
}

/** Reads the `x-cordon` section of a filter: who answers for each of its values. Undefined where there is none, or it is wrong. */
export function readAccounts(root: YamlMap, problems: Problems): ReadonlyMap<string, Account> | undefined {
  const section = sectionOf(root, problems)
  const written = section === undefined ? undefined : parse(section, filterSchema, problems)
  if (written === undefined) return undefined
  const { owner, entries } = written.list
  return new Map(
    Object.entries(entries).map(([value, entry]) => [value, { reason: entry.reason, owner: entry.owner ?? owner, expires: entry.expires }]),
  )
}

function sectionOf(root: YamlMap, problems: Problems): YamlNode | undefined {
  const slip = root.entries.find(({ key }) => key.text !== SECTION && editDistance(key.text.toLowerCase(), SECTION, 3) < 3)
  if (slip !== undefined)
    problems.error('CORDON-KEY-UNKNOWN', slip.key, `"${slip.key.text}" is no key of a rule`, `Did you mean "${SECTION}"?`)
  return entryOf(root, SECTION)?.value
}

/** Checks a section against its schema. Mistakes are reported where they stand. */
function parse<S extends z.ZodType>(section: YamlNode, schema: S, problems: Problems): z.infer<S> | undefined {
  const unbuilt = section.kind === 'map' ? section.entries.filter(({ key }) => NOT_BUILT.includes(key.text)) : []
  for (const { key } of unbuilt)
    problems.error(
      'CORDON-KEY-NOT-BUILT',
      key,
      `"${key.text}" is not built yet`,
      'take it out: a rule must not seem to do what it does not',
    )
  const rest = section.kind === 'map' ? { ...section, entries: section.entries.filter((entry) => !unbuilt.includes(entry)) } : section
  const result = schema.safeParse(toData(rest))
  if (result.success) return result.data
  for (const issue of result.error.issues.flatMap(flatten)) report(section, schema, issue, problems)
  return undefined
}

type Issue = z.core.$ZodIssue

/** Of a union, the issues of the branch that got furthest. */
function flatten(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const furthest = issue.errors.toSorted((one, other) => depth(other) - depth(one))[0] ?? []
  return furthest.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
}

const depth = (issues: readonly Issue[]) => Math.max(0, ...issues.map((issue) => issue.path.length))

function report(section: YamlNode, schema: z.ZodType, issue: Issue, problems: Problems): void {
  const at = nodeAt(section, issue.path)
  const path = [SECTION, ...issue.path].join('.')
  if (issue.code !== 'unrecognized_keys') {
    const known = issue.code === 'invalid_value' && at.kind === 'scalar' ? didYouMean(at.text, issue.values.map(String)) : undefined
    problems.error('CORDON-VALUE', at, `${path}: ${issue.message}`, known)
    return
  }
  const known = keysAt(schema, issue.path)
  for (const key of issue.keys) {
    const place = at.kind === 'map' ? entryOf(at, key)?.key : undefined
    const hint =
      issue.path[0] === 'response'
        ? 'a rule asks; approval, limits, undo and expiry are for the policy to say'
        : `keys are ${known.join(', ')}`
    problems.error('CORDON-KEY-UNKNOWN', place ?? at, `${path} has no key "${key}"`, didYouMean(key, known) ?? hint)
  }
}

/** The keys that an object of the schema may have. */
function keysAt(schema: unknown, path: readonly PropertyKey[]): readonly string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return keysAt(schema.unwrap(), path)
  const [step, ...rest] = path
  if (schema instanceof z.ZodObject) return step === undefined ? Object.keys(schema.shape) : keysAt(schema.shape[String(step)], rest)
  if (schema instanceof z.ZodArray) return keysAt(schema.element, rest)
  return schema instanceof z.ZodRecord ? keysAt(schema.valueType, rest) : []
}

function checkEntity(name: string, entities: Readonly<Record<string, string>>, at: YamlNode, problems: Problems): void {
  if (Object.hasOwn(entities, name)) return
  const known = Object.keys(entities)
  problems.error(
    'CORDON-ENTITY-UNKNOWN',
    at,
    `there is no entity "${name}"`,
    didYouMean(name, known) ?? `entities are ${known.join(', ')}; add others under ${SECTION}.entities`,
  )
}
