import { type Inventory, namesOfDevice, namesOfUser } from '../context/inventory.ts'
import type { AlertRevision } from '../detectors/alert.ts'
import { saidOf } from '../event/error.ts'
import { alertsWorker } from '../response/alerts-worker.ts'
import { Dispatcher } from '../response/dispatcher.ts'
import type { Asset, Fleet } from '../response/guards.ts'
import type { Change, RecordingPorts } from '../response/recording.ts'
import { timings } from '../response/timings.ts'
import type { PartitionHandler } from '../streams/log.ts'
import { type CaseSources, caseFiles } from './evidence/case-files.ts'
import { firstIn, inElasticsearch, inLog } from './evidence/stored-events.ts'
import type { Metrics } from './metrics.ts'
import type { ResponseParts } from './parts.ts'
import { wholePolicy } from './site.ts'

export interface ResponseStage {
  /** Takes alerts: what is decided of them is in the ledger when a batch is handled. */
  readonly worker: PartitionHandler<AlertRevision>
  /** Carries out what the ledger says. */
  readonly dispatcher: Dispatcher
}

/** Milliseconds. */
const TELL_AGAIN_AFTER = 60_000

/** The ledger's record, which tells the metrics and the log what changes. */
export function recordingOf({ ledger, metrics, observer }: ResponseParts): RecordingPorts {
  return {
    ledger,
    now: Date.now,
    observe: (change) => {
      time(change, metrics)
      observer.onChange(change)
    },
  }
}

/** Alerts log → ledger → vendors. */
export function createResponse(parts: ResponseParts, recording: RecordingPorts): ResponseStage {
  const { audit, config, site, bundles, observer, probe } = parts
  const { policy, opinion, inventory, links } = site
  const ruleOf = (id: string, bundle: string) => {
    const { detections, correlations } = bundles.rulesOf(bundle)
    return detections.find((rule) => rule.id === id) ?? correlations.find((rule) => rule.id === id)
  }
  const dispatcher = new Dispatcher({
    ...recording,
    links,
    owner: `${config.node}/${process.pid}`,
    policy: () => wholePolicy(site),
    fleet: () => fleetOf(inventory.current()),
    approvalLinks: (responder, asked) => site.approvalLinks?.through(responder, asked) ?? [],
    caseFiles: (incident) => caseFiles(incident, caseSources(parts)),
    ruleInForce: (id) => ruleOf(id, bundles.active())?.hash,
    audit,
    unsigned: config.trust.keys === undefined,
    random: Math.random,
    probe,
    onError: onceAMinute((error) => observer.onError('dispatcher', error)),
  })
  const worker = alertsWorker({
    ...recording,
    ruleOf,
    requesterOf: (bundle) => bundles.activatorOf(bundle),
    policy: () => policy.current(),
    opinion,
    responders: links,
    placing: { window: config.incidents.join_within },
    committed: () => dispatcher.wake(),
  })
  return {
    dispatcher,
    worker: {
      ...worker,
      async handle(partition, entries) {
        await bundles.load(entries.map(({ value }) => value.bundle))
        // Told before its consequences are.
        for (const { value } of entries) observer.onAlert(value)
        await worker.handle(partition, entries)
      },
    },
  }
}

/** Where an incident's files come from. The logs of Kafka are not looked into: their events are in Elasticsearch, or not to be had. */
function caseSources({ config, ledger, streams, elasticsearch, bundles, site }: ResponseParts): CaseSources {
  const places = [
    ...(config.streams.kind === 'embedded' ? [inLog(streams)] : []),
    ...(elasticsearch === undefined ? [] : [inElasticsearch(elasticsearch)]),
  ]
  return {
    ledger,
    events: places.length === 0 ? async () => new Map() : places.reduce(firstIn),
    eventsLag: elasticsearch !== undefined && config.streams.kind !== 'embedded',
    async rulesOf(bundle) {
      await bundles.load([bundle])
      return bundles.filesOf(bundle)
    },
    inventory: () => site.inventory.current(),
    now: Date.now,
  }
}

function time(change: Change, metrics: Metrics): void {
  if (change.kind !== 'effect') return
  const { accepted, confirmed } = timings(change.before, change.effect)
  const labels = { verb: change.effect.verb }
  if (accepted !== undefined) metrics.timeToAccepted.record(accepted / 1_000, labels)
  if (confirmed !== undefined) metrics.timeToContain.record(confirmed / 1_000, labels)
}

export function fleetOf(inventory: Inventory): Fleet {
  return {
    asset: (id) => assetOf(inventory, id),
    person: (name) => {
      const user = inventory.userNamed(name)
      return user && { names: namesOfUser(user), groups: user.groups }
    },
    size: inventory.devices.length,
    asOf: inventory.observed,
  }
}

function assetOf(inventory: Inventory, id: string): Asset | undefined {
  const device = inventory.deviceNamed(id)
  if (device === undefined) return undefined
  const { name, owner, groups, protected: isProtected, mdm_id: mdm, addresses } = device
  return {
    id: device.id,
    names: namesOfDevice(device),
    groups,
    protected: isProtected,
    known: { 'device.mdm.id': mdm, 'device.name': name },
    addresses,
    ...(owner === undefined ? {} : { owner }),
  }
}

/** What stays wrong is tried again each second: of the same thing the log has a line a minute. */
function onceAMinute(tell: (error: unknown) => void): (error: unknown) => void {
  let told: { readonly text: string; readonly at: number } | undefined
  return (error) => {
    const [text, now] = [saidOf(error), Date.now()]
    if (told?.text === text && now - told.at < TELL_AGAIN_AFTER) return
    told = { text, at: now }
    tell(error)
  }
}
