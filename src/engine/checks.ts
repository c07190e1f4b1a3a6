import { existsSync, statfsSync } from 'node:fs'
import { messageOf, saidOf } from '../event/error.ts'
import { formatTime } from '../event/time.ts'
import { MOST_FINDINGS } from '../privacy/privacy.ts'
import type { Approvals } from '../response/approval.ts'
import type { Dispatcher } from '../response/dispatcher.ts'
import { missingMessengers } from '../response/escalation.ts'
import type { Configured } from '../response/vendor.ts'
import { stateIncomplete } from './detection/correlate-recovery.ts'
import type { CorrelateWorker } from './detection/correlate-worker.ts'
import type { MatchStage } from './detection/detection-stage.ts'
import { type Check, type Finding, hintOf } from './health.ts'
import type { IngestStage } from './ingest/ingest-stage.ts'
import type { Parts, ResponseParts } from './parts.ts'
import type { Backlog, Readers } from './readers.ts'
import type { RuleFiles } from './rules/activation.ts'

/** A worker that is this far behind keeps people waiting. */
const TOLERABLE_LAG = 100_000
const LITTLE_SPACE = 1e9
/** Ingest nodes tick each second. */
const QUIET = 30_000
const VENDOR_TIMEOUT = 3_000

/** What can be wrong with any node, each with its remedy. */
export function checksOf({ config, site, streams, bundles }: Parts, readers: Readers, ruleFiles: RuleFiles | undefined): readonly Check[] {
  const { inventory, labels } = site
  return [
    {
      name: 'rules',
      look: async () => {
        const problem = ruleFiles?.problem() ?? bundles.problem()
        if (problem !== undefined) return { detail: problem.message, remedy: problem.hint ?? 'see the log' }
        const { refused } = bundles.rulesOf(bundles.active())
        return when(refused > 0, `${refused} rules do not load`, 'cordon validate names them')
      },
    },
    {
      name: 'inventory',
      look: async () =>
        when(inventory.problem !== undefined, saidOf(inventory.problem), 'mend the inventory: the last good one is in force'),
    },
    {
      name: 'labels',
      look: async () => when(labels.problem !== undefined, saidOf(labels.problem), 'mend the label file: the last good one is in force'),
    },
    {
      name: 'streams',
      look: async () => {
        const problem = await streams.problem()
        return problem && { detail: problem.message, remedy: problem.hint ?? 'see the log' }
      },
    },
    { name: 'lag', look: async () => behind(await readers.lag()) },
    {
      name: 'signatures',
      look: async () => (config.trust.keys === undefined ? { detail: 'UNSIGNED: rules and policy are taken as they are' } : undefined),
    },
    { name: 'disk', look: async () => space(config.data) },
  ]
}

/** Whom the policy has told through what is not there. */
export function unheard(approvals: Approvals, responders: readonly Configured[]): Required<Finding> | undefined {
  const missing = missingMessengers(approvals, responders)
  if (missing.length === 0) return undefined
  return {
    detail: `approvals.yml has people told through ${missing.join(', ')}, and cordon.yml has no responder of that name that tells of incidents`,
    remedy: 'add it under responders, or name another in approvals.yml: until then nobody hears through it',
  }
}

/** What can keep a node from acting, or from showing what was done. */
export function responseChecks({ site, ledger }: ResponseParts): readonly Check[] {
  const { policy, links } = site
  return [
    {
      name: 'ledger',
      look: async () => {
        const problem = await ledger.problem()
        return problem && { detail: problem.message, remedy: problem.hint ?? 'see the log' }
      },
    },
    {
      name: 'policy',
      look: async () =>
        when(policy.problem !== undefined, saidOf(policy.problem), 'mend the policy file: nothing is sent until it loads') ??
        unheard(policy.current().approvals, site.responders),
    },
    {
      name: 'actions',
      look: async () => {
        const { stopped } = await ledger.guard()
        return when(stopped !== undefined, `actions are stopped by ${stopped?.by}: ${stopped?.reason}`, 'cordon actions start')
      },
    },
    ...links.map(({ name, connected, http }) => ({
      name: `responder ${name}`,
      look: async () => {
        const problem: unknown = await connected.check({ http, signal: AbortSignal.timeout(VENDOR_TIMEOUT) }).then(
          () => undefined,
          (error: unknown) => error,
        )
        return when(problem !== undefined, messageOf(problem), hintOf(problem) ?? 'check its url and credentials')
      },
    })),
  ]
}

/** Vendors that are left alone for a while. */
export function breakerChecks(dispatcher: Pick<Dispatcher, 'breakers'>): readonly Check[] {
  return dispatcher.breakers().map(({ responder }) => ({
    name: `calls of ${responder}`,
    look: async () => {
      const open = dispatcher.breakers().find((one) => one.responder === responder)?.until
      return when(
        open !== undefined,
        `half of its calls failed: the next is tried at ${formatTime(open ?? 0)}`,
        'see what the vendor says of its service; what waits goes on by itself',
      )
    },
  }))
}

/** What can keep correlation from telling the alerts that it should. */
export function stateChecks(worker: Pick<CorrelateWorker, 'status'>): readonly Check[] {
  return [
    {
      name: 'state',
      look: async () => {
        const [problem] = worker
          .status()
          .flatMap(({ partition, incomplete }) => (incomplete ? [stateIncomplete(partition, incomplete)] : []))
        return problem && { detail: problem.message, remedy: problem.hint! }
      },
    },
  ]
}

/** What can keep rules from judging all that comes. */
export function groupChecks(
  worker: Pick<CorrelateWorker, 'status'>,
  { bundles }: { readonly bundles: Pick<Parts['bundles'], 'active' | 'rulesOf'> },
): readonly Check[] {
  return [
    {
      name: 'groups',
      look: async () => {
        const crowded = worker.status().flatMap((status) => [...status.crowded])
        const rules = [...new Set(crowded.map(([rule]) => rule))]
        if (rules.length === 0) return undefined
        const { correlations } = bundles.rulesOf(bundles.active())
        const titles = rules.map((rule) => `"${correlations.find(({ id }) => id === rule)?.title ?? rule}"`)
        return {
          detail: `${titles.join(', ')}: no place for further groups until ${formatTime(Math.max(...crowded.map(([, until]) => until)))}; what comes of them is not judged`,
          remedy:
            'somebody may be making up names: the alert of the rule about itself names an event. Else give the rule more (x-cordon: groups)',
        }
      },
    },
  ]
}

/** What can keep detection from knowing what is absent. */
export function feedChecks({ progress }: MatchStage): readonly Check[] {
  return [
    {
      name: 'ingest nodes',
      look: async () => {
        const feeds = [...progress.values()]
        const open = feeds.flatMap(({ feed }) => feed.gaps.filter(({ to }) => to === null))
        const silent = open.find(({ why }) => why === 'silent')
        if (silent !== undefined) {
          const { node, from } = silent
          return {
            detail: `ingest node ${node} is silent since ${formatTime(from)}: rules that ask for absence do not act until it is heard`,
            remedy: `start it again; if it is gone for good: cordon nodes retire ${node}`,
          }
        }
        if (open[0] !== undefined) {
          const detail = `ingest node ${open[0].node} takes nothing in: rules that ask for absence do not act until it does`
          return { detail, remedy: 'its own health and log say what holds it up' }
        }
        const oldest = Math.min(...feeds.map(({ ingested }) => ingested))
        return when(
          Date.now() - oldest > QUIET,
          `nothing came from any ingest node since ${formatTime(oldest)}, or it has not been read yet`,
          'start a node that ingests; look at cordon_log_lag',
        )
      },
    },
  ]
}

/** What detection spends itself on. */
export function signalChecks({ rates }: MatchStage, { bundles }: Pick<Parts, 'bundles'>): readonly Check[] {
  return [
    {
      name: 'signals',
      look: async () => {
        const [busiest, ...others] = rates.busy(Date.now())
        if (busiest === undefined) return undefined
        const { correlations, detections } = bundles.rulesOf(bundles.active())
        const title = [...correlations, ...detections].find(({ id }) => id === busiest.rule)?.title ?? busiest.rule
        const more = others.length === 0 ? '' : `, and ${others.length} more rules make many`
        return {
          detail: `"${title}" makes ${Math.round(busiest.perSecond)} signals a second for ten minutes${more}: no part of a correlation is to be that common`,
          remedy: 'give its parts another condition or a filter, or leave it out; cordon_signals_total counts them by rule',
        }
      },
    },
  ]
}

/** Senders of events that were not read to their end. */
export function findingChecks({ cutEvents }: IngestStage): readonly Check[] {
  return [
    {
      name: 'findings',
      look: async () => {
        const [busiest, ...others] = cutEvents.recent(Date.now())
        if (busiest === undefined) return undefined
        const more = others.length === 0 ? '' : `, and ${others.length} more senders such events`
        return {
          detail: `${busiest.sender} sent ${busiest.count} events with more than ${MOST_FINDINGS} pieces of personal data or secrets each${more}: what came behind them is redacted as a whole, and not counted`,
          remedy: 'look at the events with dlp.at_least: true; if nobody at the site makes such, somebody hides something behind them',
        }
      },
    },
  ]
}

/** What can keep a configured source from being read. */
export function sourceChecks({ tails, polls }: IngestStage): readonly Check[] {
  const files = tails.map((tail) => ({
    name: `source ${tail.path}`,
    look: async () => {
      if (!existsSync(tail.path)) return { detail: 'there is no such file', remedy: 'check the path, and that its program runs' }
      const { problem } = tail
      return problem && { detail: problem.message, remedy: problem.hint ?? 'check the path' }
    },
  }))
  const indices = [...polls].map(([name, poll]) => ({
    name: `source ${name}`,
    look: async () => poll.problem && { detail: poll.problem.message, remedy: poll.problem.hint ?? 'see the log' },
  }))
  return [...files, ...indices]
}

function when(wrong: boolean, detail: string, remedy: string): Finding | undefined {
  return wrong ? { detail, remedy } : undefined
}

function behind(lags: readonly Backlog[]): Finding | undefined {
  const worst = lags.toSorted((a, b) => b.value - a.value)[0]
  if (worst === undefined) return undefined
  const { log, partition, value } = worst
  return when(
    value >= TOLERABLE_LAG,
    `${value} entries of the ${log} log wait in partition ${partition}`,
    'look at cordon_worker_errors, cordon_signals and the log; else it takes a faster machine',
  )
}

function space(folder: string): Finding | undefined {
  const { bavail, bsize } = statfsSync(folder)
  const free = bavail * bsize
  return when(
    free < LITTLE_SPACE,
    `${Math.round(free / 1e6)} MB free for the data folder`,
    'free some space, or lower retention: what cannot be stored is not acknowledged',
  )
}
