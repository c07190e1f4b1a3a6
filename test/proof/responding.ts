import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatTime } from '../../src/event/time.ts'
import { alertsWorker } from '../../src/response/alerts-worker.ts'
import { Dispatcher } from '../../src/response/dispatcher.ts'
import type { Fleet } from '../../src/response/guards.ts'
import type { Policy } from '../../src/response/policy.ts'
import type { RecordingPorts } from '../../src/response/recording.ts'
import { alertOn, grantFor, policyWith, ruleWith, UNAUDITED } from '../../src/response/testbed.ts'
import { openEmbeddedLedger } from '../../src/stores/embedded-ledger.ts'
import { isolationLink } from './isolation-responder.ts'

/*
 * A process of its own that responds: a worker of the alerts log and a dispatcher, on a ledger that others share. It runs until it is
 * killed. `node responding.ts '<Duty as JSON>'`
 */

/** What a member is to do. */
export interface Duty {
  readonly folder: string
  readonly node: string
  readonly vendor: string
  /** Whether it takes alerts; else it only dispatches. */
  readonly takes: boolean
  readonly policy: Partial<Policy>
  readonly devices: number
  readonly concurrency: number
}

/** Devices that are not in the inventory, or are protected there: by their names. */
export const isUnknown = (device: string) => device.startsWith('unknown-')
export const isProtected = (device: string) => device.startsWith('protected-')

/** An entry of the alerts log: which device, and what tells alerts of one device apart. */
export interface LoggedAlert {
  readonly device: string
  readonly key: string
}

export const ledgerOf = (folder: string) => join(folder, 'ledger.db')
export const alertsOf = (folder: string) => join(folder, 'alerts.json')
export const noticesOf = (folder: string) => join(folder, 'notices.ndjson')

const BATCH = 100

async function respond({ folder, node, vendor, takes, policy, devices, concurrency }: Duty): Promise<void> {
  const rule = ruleWith({ response: [{ do: 'quarantine_device', target: 'device' }] })
  const granted = policyWith([grantFor(rule)], policy)
  const link = isolationLink(vendor)
  const ports: RecordingPorts = {
    ledger: openEmbeddedLedger(ledgerOf(folder)),
    now: Date.now,
    observe: (change) => {
      if (change.kind === 'notice')
        appendFileSync(noticesOf(folder), `${JSON.stringify({ at: formatTime(Date.now()), ...change.notice })}\n`)
    },
  }
  const fleet: Fleet = {
    asset: (id) => (isUnknown(id) ? undefined : { id, protected: isProtected(id) }),
    person: () => undefined,
    size: devices,
    asOf: Date.now(),
  }
  const dispatcher = new Dispatcher({
    ...ports,
    links: [link],
    concurrency,
    owner: `${node}/${process.pid}`,
    policy: () => granted,
    fleet: () => fleet,
    ruleInForce: () => rule.hash,
    approvalLinks: () => [],
    caseFiles: async () => [],
    audit: UNAUDITED,
    random: Math.random,
    probe: () => {},
    onError: (error) => process.stderr.write(`${String(error)}\n`),
  })
  const worker = alertsWorker({
    ...ports,
    ruleOf: () => rule,
    requesterOf: () => 'ana',
    policy: () => granted,
    responders: [link],
    cooldown: 0,
    committed: () => dispatcher.wake(),
  })
  await dispatcher.reclaim(`${node}/`)
  dispatcher.start()
  const alerts = takes ? (JSON.parse(readFileSync(alertsOf(folder), 'utf8')) as LoggedAlert[]) : []
  for (let from = await worker.open(0); from < alerts.length; from += BATCH) {
    const entries = alerts.slice(from, from + BATCH).map(({ device, key }, at) => {
      return { offset: from + at, value: alertOn(device, rule, { key }) }
    })
    await worker.handle(0, entries)
  }
}

if (process.argv[1] === import.meta.filename) {
  // It ends with the process that started it, however that ends.
  process.stdin.on('end', () => process.exit()).resume()
  await respond(JSON.parse(process.argv[2] ?? '{}') as Duty)
}
