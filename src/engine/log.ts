import pino from 'pino'
import { CordonError, saidOf } from '../event/error.ts'
import { withoutSecrets } from '../event/secrets.ts'
import type { Config } from './config.ts'
import type { EngineObserver } from './observer.ts'
import { privacyOf } from './privacy.ts'

/**
 * What the log tells of a running node, one JSON object a line; `event` names what happened. Errors may quote what came from outside, so
 * every line is scrubbed.
 *
 * @param file where it goes; standard error by default
 */
export function createLog(config: Config, file?: string): EngineObserver {
  const privacy = privacyOf(config)
  const log = pino(
    {
      level: config.log.level,
      base: { node: config.node, ...(config.label === undefined ? {} : { label: config.label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      hooks: { streamWrite: (line) => withoutSecrets(privacy.scrubContent(line)) },
    },
    pino.destination({ dest: file ?? 2, sync: true }),
  )
  return {
    onAlert: ({ id, rev, state, rule, group, late }) =>
      log.info({ event: 'alert', alert: id, rev, state, rule: rule.id, level: rule.level, group, late }, rule.title),
    onError: (where, error) =>
      log.error({ event: 'error', where, ...(error instanceof CordonError ? { code: error.code, hint: error.hint } : {}) }, saidOf(error)),
    onNote: (where, text) => log.info({ event: 'note', where }, text),
    onChange(change) {
      if (change.kind === 'notice')
        log.warn({ event: 'notice', code: change.notice.code, effect: change.notice.effect }, change.notice.text)
      else if (change.kind === 'incident') {
        const { before, incident } = change
        if (before?.status !== incident.status || before.severity !== incident.severity) {
          log.info({ event: 'incident', incident: incident.id, status: incident.status, severity: incident.severity }, incident.title)
        }
      } else if (change.before?.state !== change.effect.state) {
        const { id, verb, target, state, reason, responder } = change.effect
        log.info({ event: 'effect', effect: id, verb, target: target.id, state, responder }, reason)
      }
    },
  }
}
