import { isObject, type Json } from '../../event/json.ts'
import { compileTemplate } from '../template.ts'
import type { Act, Definition, Look, ReadBack } from './definition.ts'

/** A text of a file that may hold `{{name}}`, its place in the file, and the names that have a value there. */
export interface Use {
  readonly path: readonly PropertyKey[]
  readonly text: string
  readonly allowed: ReadonlySet<string>
}

const INCIDENT = ['id', 'title', 'severity', 'status', 'headline', 'summary', 'rule', 'entity', 'alerts', 'opened_at'] as const
/** The names of an incident that templates may use. */
export type IncidentName = (typeof INCIDENT)[number]

/** Every template of a file. Secrets have a value only where something is sent: never in what is kept or shown. */
export function usesOf(definition: Definition): readonly Use[] {
  const { settings, secrets, needs, values, plan, run, confirm, undo, confirm_undo, auth, check, errors } = definition
  const config = Object.keys(settings).map((name) => `config.${name}`)
  const secret = Object.keys(secrets).map((name) => `secret.${name}`)
  const known = [
    ...needs,
    'target.kind',
    'target.id',
    'target.name',
    ...INCIDENT.map((name) => `incident.${name}`),
    ...config,
    'effect.key',
  ]
  const base = [...known, ...Object.keys(values).map((name) => `value.${name}`)]
  const planned = [...base, ...plan.looks.flatMap(({ take }) => prefixed('plan', take))]
  const uses: Use[] = []
  const within = (path: readonly PropertyKey[], value: unknown, allowed: readonly string[]) => {
    for (const [inner, text] of textsOf(value as Json, path)) uses.push({ path: inner, text, allowed: new Set(allowed) })
  }
  const look = (
    path: readonly PropertyKey[],
    { path: _, query, headers, where, ...rest }: Partial<Look> & { path: string },
    allowed: readonly string[],
  ) => {
    within([...path, 'path'], _, allowed)
    within([...path, 'query'], query, allowed)
    within([...path, 'headers'], headers, [...config, 'key', 'effect.key'])
    within([...path, 'where'], where, allowed)
    return rest
  }
  const sent = [...planned, 'key', 'attempt.since']
  const act = (path: readonly PropertyKey[], { find, request, found }: Act) => {
    if (find !== undefined) look([...path, 'find'], find, sent)
    for (const [name, call, more] of [
      ['request', request, []],
      ['found', found, prefixed('found', find?.take ?? {})],
    ] as const) {
      if (call === undefined) continue
      look([...path, name], call, [...sent, ...more])
      within([...path, name, 'json'], call.json, [...sent, ...more, ...secret])
      within([...path, name, 'form'], call.form, [...sent, ...more, ...secret])
    }
  }
  const readBack = (path: readonly PropertyKey[], readings: ReadBack | undefined, { find, take }: Act) => {
    if (readings === undefined || readings === 'accepted') return
    const answer = [...prefixed('answer', take), ...prefixed('answer', find?.take ?? {})]
    const allowed = [...sent, ...answer]
    for (const [index, reading] of readings.entries()) {
      look([...path, index], reading, allowed)
      for (const [at, { when, say }] of reading.states.entries()) {
        within([...path, index, 'states', at, 'when'], when, allowed)
        within([...path, index, 'states', at, 'say'], say, [...allowed, ...prefixed('seen', reading.take)])
      }
    }
  }

  within(['auth'], auth, [...config, ...secret])
  within(
    ['errors'],
    errors.map(({ when }) => ({ when })),
    config,
  )
  for (const [name, { from }] of Object.entries(values))
    uses.push({ path: ['values', name, 'from'], text: `{{${from}}}`, allowed: new Set(known) })
  if (check !== 'reachable') look(['check'], check, config)
  for (const [index, step] of plan.looks.entries()) {
    const earlier = plan.looks.slice(0, index).flatMap(({ take }) => prefixed('plan', take))
    look(['plan', 'looks', index], step, [...base, ...earlier])
    within(['plan', 'looks', index, 'otherwise'], step.otherwise, [...base, ...earlier])
  }
  within(['plan', 'summary'], plan.summary, planned)
  act(['run'], run)
  readBack(['confirm'], confirm, run)
  if (undo !== undefined) {
    act(['undo'], undo)
    readBack(['confirm_undo'], confirm_undo, undo)
  }
  return uses
}

/** The names that templates use after planning: what a plan has to keep. */
export function namesKept(definition: Definition): ReadonlySet<string> {
  const later = usesOf(definition).filter(({ path: [section] }) => ['run', 'confirm', 'undo', 'confirm_undo'].includes(String(section)))
  const residual = definition.residual === undefined ? [] : [`config.${definition.residual}`]
  return new Set([...later.flatMap(({ text }) => compileTemplate(text).names), ...residual])
}

function prefixed(prefix: string, names: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(names).map((name) => `${prefix}.${name}`)
}

function textsOf(value: Json | undefined, path: readonly PropertyKey[]): (readonly [readonly PropertyKey[], string])[] {
  if (typeof value === 'string') return [[path, value]]
  if (Array.isArray(value)) return value.flatMap((item, index) => textsOf(item, [...path, index]))
  return isObject(value) ? Object.entries(value).flatMap(([key, item]) => textsOf(item, [...path, key])) : []
}
