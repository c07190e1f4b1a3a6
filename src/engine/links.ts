import { z } from 'zod'
import { CordonError, telling } from '../event/error.ts'
import { rememberAddress } from '../event/secrets.ts'
import { accessOf, type Endpoint } from '../responders/endpoint.ts'
import { createHttpClient } from '../responders/http.ts'
import { RESPONDERS } from '../responders/index.ts'
import type { Configured, Link } from '../response/vendor.ts'
import type { Config } from './config.ts'
import { responderNamed, responderNames } from './responder-files.ts'

/** A responder of cordon.yml with its settings checked, and nothing read that they refer to. */
interface Settled extends Configured {
  readonly settings: Endpoint
}

/**
 * The configured responders without their credentials: what whoever never calls one needs of them.
 *
 * @throws CordonError `RESPONDER_UNKNOWN`, `RESPONDER_TWICE`, `RESPONDER_CONFIG`
 */
export function configuredResponders(config: Pick<Config, 'responders' | 'responder_files'>): readonly Configured[] {
  return settled(config).map(({ name, responder }) => ({ name, responder }))
}

/**
 * Connects the configured responders with their credentials: only a node that responds does so.
 *
 * @throws CordonError `RESPONDER_UNKNOWN`, `RESPONDER_TWICE`, `RESPONDER_CONFIG`, `SECRET_MISSING`, and what {@link responderNamed} throws
 */
export function connectResponders(config: Pick<Config, 'responders' | 'responder_files'>): readonly Link[] {
  return settled(config).map(({ name, responder, settings }) => ({
    name,
    responder,
    connected: telling(
      ({ message }) => ({ message: `responder ${name}: ${message}` }),
      () => responder.connect(settings),
    ),
    http: createHttpClient(accessOf(settings)),
  }))
}

function settled(config: Pick<Config, 'responders' | 'responder_files'>): readonly Settled[] {
  const names = new Set<string>()
  return config.responders.map(({ use, name = use, ...settings }) => {
    const responder = responderNamed(use, config.responder_files)
    if (responder === undefined) {
      throw new CordonError('RESPONDER_UNKNOWN', `no responder is called "${use}"`, {
        hint: `there are: ${responderNames(config.responder_files).join(', ')}`,
      })
    }
    if (names.has(name))
      throw new CordonError('RESPONDER_TWICE', `two responders are called "${name}"`, {
        hint: 'give one of them a name of its own (name: …)',
      })
    names.add(name)
    const parsed = responder.config.safeParse(settings)
    if (!parsed.success) {
      throw new CordonError('RESPONDER_CONFIG', `responder ${name}: ${z.prettifyError(parsed.error)}`, {
        hint: `an example:\n${responder.example}`,
      })
    }
    rememberAddress(parsed.data.url)
    return { name, responder, settings: parsed.data }
  })
}

/** An entry of cordon.yml for each responder that there is, for whoever begins. */
export function responderExamples(): readonly {
  readonly use: string
  readonly verb: string
  readonly title: string
  readonly example: string
}[] {
  return RESPONDERS.map(({ name, verb, title, example }) => ({ use: name, verb, title, example }))
}
