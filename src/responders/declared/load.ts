import { parse } from 'node:path'
import { stringify } from 'yaml'
import { CordonError } from '../../event/error.ts'
import { type Problem, readSettings, refuse } from '../../settings/settings-file.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Responder } from '../responder.ts'
import { compileTemplate } from '../template.ts'
import { connect } from './connect.ts'
import { type Definition, definitionSchema, EFFECTS, LEAST_EFFECT } from './definition.ts'
import { namesKept, usesOf } from './names.ts'
import { type Settings, settingsSchema } from './settings.ts'

const TELLING = ['create_incident', 'notify']
const HINT = 'docs/reference/responder-files.md has every key'

/**
 * Reads a responder file: an ordinary responder, of which every mistake that can be known without the vendor is known now.
 *
 * @param file its name, for the places of mistakes
 * @throws CordonError `RESPONDER_FILE_YAML`, `RESPONDER_FILE` with the place of every mistake
 */
export function loadResponder(file: string, text: string): Responder<Endpoint> {
  const mistakes = { notYaml: 'RESPONDER_FILE_YAML', invalid: 'RESPONDER_FILE', hint: HINT }
  const { data: definition, at } = readSettings(file, text, definitionSchema, mistakes)
  const wrong = (path: readonly PropertyKey[], message: string, hint?: string): Problem => ({
    where: at(path),
    message: `${path.join('.')}: ${message}`,
    ...(hint === undefined ? {} : { hint }),
  })
  const called = parse(file).name
  const misnamed =
    called === definition.name ? [] : [wrong(['name'], `a file is called as its responder is, and this one is called ${called}`)]
  refuse('RESPONDER_FILE', [...misnamed, ...templateProblems(definition, wrong), ...problemsOf(definition, wrong)], HINT)
  return responderOf(definition)
}

type Wrong = (path: readonly PropertyKey[], message: string, hint?: string) => Problem

function templateProblems(definition: Definition, wrong: Wrong): Problem[] {
  return usesOf(definition).flatMap(({ path, text, allowed }) => {
    try {
      const unknown = compileTemplate(text).names.filter((name) => !allowed.has(name))
      return unknown.map((name) => wrong(path, `{{${name}}} has no value here`, `there are: ${[...allowed].sort().join(', ')}`))
    } catch (error) {
      if (!(error instanceof CordonError)) throw error
      return [wrong(path, error.message, error.hint)]
    }
  })
}

function problemsOf(definition: Definition, wrong: Wrong): Problem[] {
  const { verb, effect, target, undo, confirm_undo, residual, settings, secrets, run, needs } = definition
  const problems: Problem[] = []
  const least = LEAST_EFFECT[verb]
  if (EFFECTS.indexOf(effect) < EFFECTS.indexOf(least))
    problems.push(wrong(['effect'], `${verb} is at least ${least}: limits and approvals go by it`))
  if (TELLING.includes(verb) !== (effect === 'notify' || effect === 'record'))
    problems.push(
      wrong(['effect'], `${verb} cannot be ${effect}`, 'create_incident and notify tell people (record, notify); all else acts'),
    )
  if (TELLING.includes(verb) !== (target === 'incident'))
    problems.push(wrong(['target'], TELLING.includes(verb) ? `${verb} is of an incident` : `${verb} cannot be of an incident`))
  if ((undo === undefined) !== (confirm_undo === undefined)) problems.push(wrong(['undo'], 'undo and confirm_undo need each other'))
  if (definition.webhook !== undefined && target !== 'incident')
    problems.push(wrong(['webhook'], `people answer for an incident, not for a ${target}`))
  if (run.request === undefined) problems.push(wrong(['run'], 'needs a request'))
  if (residual !== undefined && settings[residual]?.type !== 'duration')
    problems.push(wrong(['residual'], `there is no setting "${residual}" of type duration`))
  for (const name of [...Object.keys(settings), ...Object.keys(secrets)]) {
    if (['url', 'allow_private', 'token_url', 'use', 'name', 'webhook_secret'].includes(name) || (name in settings && name in secrets))
      problems.push(wrong([name in settings ? 'settings' : 'secrets', name], `"${name}" is taken`))
  }
  for (const need of needs) {
    if (!/^[a-z_]+(?:\.[a-z_]+)+$/.test(need)) problems.push(wrong(['needs'], `"${need}" is no field such as device.mdm.id`))
  }
  if (problems.length > 0) return problems
  const example = settingsSchema(definition).safeParse(definition.example)
  if (example.success) return []
  return example.error.issues.map((issue) => wrong(['example', ...issue.path], issue.message))
}

function responderOf(definition: Definition): Responder<Settings> {
  const { name, title, verb, effect, target, needs, permissions, undo, example, repeatable, timeout, confirm_within } = definition
  const kept = namesKept(definition)
  return {
    name,
    title,
    verb,
    effect,
    reversible: undo !== undefined,
    target,
    needs,
    permissions,
    config: settingsSchema(definition),
    example: stringify(example),
    repeatable,
    timeout,
    confirmWithin: confirm_within,
    connect: (config) => connect(definition, kept, config),
  }
}
