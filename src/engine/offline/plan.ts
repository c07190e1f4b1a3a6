import { existsSync } from 'node:fs'
import { Inventory } from '../../context/inventory.ts'
import { Posture } from '../../context/posture.ts'
import { ProcessTree } from '../../context/process-tree.ts'
import type { AlertRevision } from '../../detectors/alert.ts'
import { compileDetector } from '../../detectors/detector.ts'
import { CordonError } from '../../event/error.ts'
import type { EventRecord } from '../../event/event.ts'
import { normaliserFor } from '../../normalise/index.ts'
import { counterfactual, type WouldBe } from '../../response/counterfactual.ts'
import { decide } from '../../response/decide.ts'
import { loadPolicy } from '../../response/policy-file.ts'
import type { Rule, RuleSet } from '../../sigma/ast.ts'
import { documentOf, storedDocument } from '../../stores/elasticsearch/documents.ts'
import { openMemoryLedger } from '../../stores/embedded-ledger.ts'
import type { Config } from '../config.ts'
import { configuredResponders } from '../links.ts'
import { privacyOf } from '../privacy.ts'
import { fleetOf } from '../response-stage.ts'
import { isCalled, loadRules } from '../rules/rules.ts'
import { readInventory } from '../site.ts'
import { withStreams } from '../streams.ts'
import { type ReplayPiece, type ReplayReports, replayPieces } from './replay.ts'
import { replayStore } from './replay-store.ts'

/** The counterfactual of one rule. */
export interface ActionPlan {
  readonly rule: Pick<Rule, 'id' | 'title'>
  /** Milliseconds since the epoch: events from then on, of so many. */
  readonly since: number
  readonly events: number
  readonly alerts: number
  /** What the policy says of each verb that the rule asks for, as things are. */
  readonly today: readonly { readonly verb: string; readonly decision: string; readonly reason: string }[]
  /** What would have been done if the rule was in mode enforce, and granted what it asks for. By time. */
  readonly would: readonly WouldBe[]
}

const PAGE = 5_000
const QUIET: ReplayReports = { onBadRecord: () => {}, whyNot: [], onWhyNot: () => {}, onProgress: () => {} }

/**
 * Stored events through a rule as it is on disk, and through the policy, inventory and limits that hold: what would have been done, by a
 * clock of their own. It cannot act: no responder is connected, and its ledger is kept nowhere.
 *
 * @param named id, name or title of a rule; or a file that has it, which need not be among the configured rules yet
 * @throws CordonError `RULE_UNKNOWN`, and what loading rules, policy, inventory and reading events throw
 */
export async function planActions(config: Config, named: string, since: number): Promise<ActionPlan> {
  const { rules, rule } = supposeEnforced(loadRules([...config.rules, ...(existsSync(named) ? [named] : [])]), named)
  const { alerts, events } = await alertsSince(config, rules, since)
  const own = alerts.filter((alert) => alert.rule.id === rule.id)
  const policy = loadPolicy(config.policy)
  const where = { file: 'supposed', line: 1, column: 1 }
  const verbs = rule.extension.response.map((request) => request.do)
  const granted = { rule: rule.id, verbs, mode: 'enforce' as const, pinned: rule.parts, where }
  const ledger = openMemoryLedger()
  try {
    const would = await counterfactual(own, {
      ledger,
      rule,
      policy: { ...policy, grants: [granted] },
      responders: configuredResponders(config),
      fleet: fleetOf(readInventory(config.inventory)),
      placing: { window: config.incidents.join_within },
    })
    const [example] = own
    const today = rule.extension.response.flatMap((request) =>
      example === undefined ? [] : [{ verb: request.do, ...decide(request, example, rule, policy) }],
    )
    return { rule: { id: rule.id, title: rule.title }, since, events, alerts: own.length, today, would }
  } finally {
    await ledger.close()
  }
}

/** The rule set with the one rule in mode enforce, whatever it says. */
function supposeEnforced(rules: RuleSet, named: string): { readonly rules: RuleSet; readonly rule: Rule } {
  const meant = (rule: Rule) => isCalled(rule, named) || (rule.where.file === named && rule.extension.response.length > 0)
  const enforced = <R extends Rule>(rule: R): R => (meant(rule) ? { ...rule, extension: { ...rule.extension, mode: 'enforce' } } : rule)
  const supposed = { ...rules, detections: rules.detections.map(enforced), correlations: rules.correlations.map(enforced) }
  const rule = [...supposed.correlations, ...supposed.detections].find(meant)
  if (rule !== undefined) return { rules: supposed, rule }
  throw new CordonError('RULE_UNKNOWN', `no rule called "${named}" is loaded, and no file of that name has one that asks for a response`, {
    hint: 'give its id, name, title or file; cordon validate says what does not load',
  })
}

async function alertsSince(config: Config, rules: RuleSet, since: number): Promise<{ alerts: readonly AlertRevision[]; events: number }> {
  if (config.store.kind === 'elasticsearch') {
    const wanted = { index: undefined, query: undefined, since, until: undefined }
    return replayStore(config, wanted, rules, { ...QUIET, anyLogsource: false, factless: false })
  }
  const settings = {
    ...QUIET,
    normaliser: normaliserFor('ecs.passthrough'),
    privacy: privacyOf(config),
    detector: compileDetector(rules, {}),
    context: { inventory: Inventory.EMPTY, tree: new ProcessTree(() => undefined), posture: new Posture(), recorded: true },
  }
  return withStreams(config, { append: false }, (streams) => replayPieces(loggedEvents(streams, since), settings))
}

/** The embedded events log, from an event time on, as the documents that a store would have. */
async function* loggedEvents(streams: Parameters<Parameters<typeof withStreams>[2]>[0], since: number): AsyncGenerator<ReplayPiece> {
  let line = 0
  for (let partition = 0; partition < streams.partitions('events'); partition++) {
    for (let from = 0; ; ) {
      const entries = await streams.read<EventRecord>('events', partition, from, PAGE)
      const last = entries.at(-1)
      if (last === undefined) break
      from = last.offset + 1
      const records = entries.flatMap(({ value, offset, appended }) => {
        if (value.kind !== 'event' || (value.event.time ?? appended) < since) return []
        line++
        return [
          { value: documentOf(storedDocument(value.event, appended, { bundle: value.bundle, partition, offset })), line, offset: line },
        ]
      })
      yield { read: records.length, records }
    }
  }
}
