import type { ApiBackend } from '../api/app.ts'
import type { Dispatcher } from '../response/dispatcher.ts'
import type { Link } from '../response/vendor.ts'
import type { Health } from './health.ts'
import type { Metrics } from './metrics.ts'
import type { Operations } from './operations.ts'
import type { Tokens } from './tokens.ts'

interface Parts {
  readonly operations: Operations
  readonly tokens: Tokens
  readonly hosts: readonly string[]
  readonly refused: (reason: string) => void
  readonly health: () => Promise<Health>
  readonly metrics: Metrics
  readonly links: readonly Link[]
  readonly dispatcher: Dispatcher
}

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']

/** What the API shows, out of the ledger, the metrics and the responders. */
export function apiBackend({ operations, tokens, hosts, refused, health, metrics, links, dispatcher }: Parts): ApiBackend {
  const allowed = new Set([...LOOPBACK, ...hosts].map((host) => host.toLowerCase()))
  return {
    authenticate: (token) => tokens.authenticate('api', token),
    allowsHost: (host) => host !== undefined && allowed.has(host.replace(/:\d*$/, '').toLowerCase()),
    refused,
    alerts: (query) => operations.alerts(query),
    alert: (id) => operations.alert(id),
    incidents: (query) => operations.incidents(query),
    incident: (id) => operations.incident(id),
    actions: (query) => operations.actions(query),
    action: (id) => operations.action(id),
    health,
    metrics: () => metrics.text(),
    async receive(name, body, headers) {
      const receive = links.find((link) => link.name === name)?.connected.receive
      if (receive === undefined) return undefined
      const receipts = receive(body, headers)
      await dispatcher.receive(name, receipts)
      return receipts.length
    },
  }
}
