import type { CordonError } from '../../event/error.ts'
import type { RuleSet } from '../../sigma/ast.ts'
import { type Activation, bundleOf } from '../../sigma/bundle.ts'
import type { Streams } from '../../streams/log.ts'
import type { Config } from '../config.ts'
import { withStreams } from '../streams.ts'
import { policyOf } from '../trust/policy-of.ts'
import { read, trustedKeys } from '../trust/signed-set.ts'
import { refusalOf } from './activation.ts'
import { Bundles } from './bundles.ts'
import { compareRules, type RuleChanges } from './rule-changes.ts'
import { readPortableRuleFiles } from './rule-files.ts'
import { detectorOf } from './rules.ts'

/** The rules that are in force, and who made them so. */
export interface ActiveRules extends Activation {
  readonly rules: RuleSet
}

/** What activating the rule files of a configuration means. */
export interface ActivationReview {
  /** The bundle that the files are. */
  readonly bundle: string
  readonly active: ActiveRules | undefined
  readonly rules: RuleSet
  readonly changes: RuleChanges
  /** Why they must not be activated. */
  readonly refusal: CordonError | undefined
  /** @param by whoever says so: the requester of all that the rules ask for */
  activate(by: string): Promise<void>
}

/** The rules that are active now; undefined before the first activation. @throws CordonError as `withStreams` */
export function activeRules(config: Config): Promise<ActiveRules | undefined> {
  return withStreams(config, { append: false }, async (streams) => activeOf(await readBundles(streams, config)))
}

/**
 * Compares the rule files of a configuration with what is active, and hands both to `work`.
 *
 * @param append whether `work` may activate them
 * @throws CordonError `RULES_NOT_FOUND`, and what loading the policy and `withStreams` throw
 */
export function reviewActivation<T>(
  config: Config,
  { append }: { readonly append: boolean },
  work: (review: ActivationReview) => Promise<T>,
): Promise<T> {
  const files = readPortableRuleFiles(config.rules)
  const after = detectorOf(files)
  const { grants } = policyOf(config)
  return withStreams(config, { append }, async (streams) => {
    const bundles = await readBundles(streams, config)
    const active = activeOf(bundles)
    const before = active && bundles.detectorOf(active.bundle)
    return work({
      bundle: bundleOf(files).id,
      active,
      rules: after.rules,
      changes: compareRules(before, after, grants),
      refusal: before && refusalOf(before.rules, after.rules),
      activate: async (by) => void (await bundles.activate(files, by, read(config.trust.rules))),
    })
  })
}

/** As they are now. */
async function readBundles(streams: Streams, config: Config): Promise<Bundles> {
  const bundles = new Bundles(streams, undefined, undefined, trustedKeys(config))
  await bundles.refresh()
  return bundles
}

function activeOf(bundles: Bundles): ActiveRules | undefined {
  const activation = bundles.activation()
  return activation && { ...activation, rules: bundles.rulesOf(activation.bundle) }
}
