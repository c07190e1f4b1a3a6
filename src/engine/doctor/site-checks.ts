import { formatPlace } from '../../event/error.ts'
import type { Policy } from '../../response/policy.ts'
import type { Configured } from '../../response/vendor.ts'
import type { RuleSet } from '../../sigma/ast.ts'
import { formatDiagnostic } from '../../sigma/problems.ts'
import { unheard } from '../checks.ts'
import type { Config } from '../config.ts'
import { configuredResponders, connectResponders } from '../links.ts'
import { opinionOf } from '../opinion/opinion.ts'
import { loadRules } from '../rules/rules.ts'
import { readInventory } from '../site.ts'
import { policyOf } from '../trust/policy-of.ts'
import { trustedKeys } from '../trust/signed-set.ts'
import { attempt, type Diagnosis, ok, problem, warning } from './diagnosis.ts'

/** Milliseconds for a vendor to answer. */
const VENDOR_TIMEOUT = 5_000
/** What is told of the rules one by one, errors first. */
const TOLD_DIAGNOSTICS = 10

/** What the organisation wrote down: rules, policy, inventory, and the vendors that it acts through. */
export async function siteChecks(config: Config): Promise<readonly Diagnosis[]> {
  let rules = undefined as RuleSet | undefined
  const found = await Promise.all([
    attempt('rules', () => {
      rules = loadRules(config.rules, Date.now())
      return rulesCheck(rules)
    }),
    decisionChecks(config),
    attempt('inventory', () => inventoryCheck(config)),
    ...config.responders.map((entry) => responderCheck(config, entry)),
    attempt('responders', () => respondersCheck(config)),
  ])
  const wrong = new Set(found.flat().flatMap(({ level, check }) => (level === 'problem' ? [check] : [])))
  if (wrong.has('policy')) return found.flat()
  const policy = policyOf(config)
  return [
    ...found.flat(),
    ...(wrong.has('inventory') ? [] : protectedCheck(config, policy)),
    ...approvalsCheck(config, policy),
    ...(rules === undefined ? [] : grantsCheck(policy, rules)),
  ]
}

/** What decides about actions: the policy, the policy as code where one is configured, and whether anybody has to sign them. It asks nobody. */
export async function decisionChecks(config: Config): Promise<readonly Diagnosis[]> {
  const found = await Promise.all([
    attempt('policy', () => {
      policyOf(config)
      return [ok('policy', config.policy)]
    }),
    attempt('policy as code', async () => {
      const { policy_as_code: code } = config
      await opinionOf(config)
      return code === undefined ? [] : [ok('policy as code', 'wasm' in code ? code.wasm : code.opa)]
    }),
    attempt('signatures', () => [signatureCheck(config)]),
  ])
  return found.flat()
}

function signatureCheck(config: Config): Diagnosis {
  const keys = trustedKeys(config)
  if (keys.length > 0) return ok('signatures', `rules and policy have to be signed by ${keys.map(({ name }) => name).join(' or ')}`)
  return warning(
    'signatures',
    'UNSIGNED: rules and policy are taken as they are',
    'trust.keys names who has to sign them: docs/guides/signing.md',
  )
}

function rulesCheck({ detections, correlations, diagnostics }: RuleSet): readonly Diagnosis[] {
  const remedy = 'cordon validate says it again, with a hint for each'
  const told = diagnostics.toSorted((a, b) => Number(b.severity === 'error') - Number(a.severity === 'error')).slice(0, TOLD_DIAGNOSTICS)
  const rest = diagnostics.length - told.length
  return [
    ok('rules', `${detections.length} detection rules, ${correlations.length} correlation rules`),
    ...told.map((diagnostic) => {
      const [line = '', hint] = formatDiagnostic(diagnostic)
      return (diagnostic.severity === 'error' ? problem : warning)('rules', line, hint ?? remedy)
    }),
    ...(rest > 0 ? [warning('rules', `and ${rest} more errors and warnings`, remedy)] : []),
  ]
}

function inventoryCheck({ inventory }: Config): readonly Diagnosis[] {
  if (inventory === undefined)
    return [
      warning('inventory', 'there is none, so every device counts as protected', 'name one under inventory: docs/reference/inventory.md'),
    ]
  readInventory(inventory)
  return [ok('inventory', inventory)]
}

/** A name that nothing has protects nothing: a slip, or what is long gone. */
function protectedCheck(config: Config, policy: Policy): readonly Diagnosis[] {
  if (config.inventory === undefined) return []
  const { devices, groups, owners } = policy.protected
  const inventory = readInventory(config.inventory)
  const { devices: known, users } = inventory
  const named = (names: readonly (string | undefined)[]) => new Set(names.map((name) => name?.toLowerCase()))
  const grouped = named([...known, ...users].flatMap((one) => one.groups))
  const owning = named(known.map(({ owner }) => owner))
  const absent = (kind: string, names: readonly string[], has: (name: string) => boolean) =>
    names
      .filter((name) => !has(name.normalize('NFKC').toLowerCase()))
      .map((name) =>
        warning(
          'protected',
          `protected.yml names the ${kind} "${name}", and the inventory has none of that name`,
          `write it as ${config.inventory} does, or take it out`,
        ),
      )
  return [
    ...absent('device', devices, (name) => inventory.deviceNamed(name) !== undefined),
    ...absent('group', groups, (name) => grouped.has(name)),
    ...absent('owner', owners, (name) => owning.has(name) || inventory.userNamed(name) !== undefined),
  ]
}

/** Grants that give nothing, and names of rules that nothing has: a slip, or what is long gone. */
function grantsCheck(policy: Policy, { detections, correlations }: RuleSet): readonly Diagnosis[] {
  const known = new Set([...detections, ...correlations].map(({ id }) => id))
  return policy.grants.flatMap(({ rule, verbs, pinned, where }) => {
    const what = `${formatPlace(where)} the grant of ${verbs.join(', ')} to "${rule}"`
    if (!known.has(rule))
      return [warning('grants', `${what} is to a rule that there is not`, 'write the id of the rule, or take the grant out')]
    if (pinned.length > 0) return []
    return [warning('grants', `${what} gives nothing yet: nobody has pinned the rule as it is`, `cordon policy grant ${rule}`)]
  })
}

/** Whom the approvals have told. What is wrong with a responder itself is said of that. */
function approvalsCheck(config: Config, policy: Policy): readonly Diagnosis[] {
  let responders: readonly Configured[]
  try {
    responders = configuredResponders(config)
  } catch {
    return []
  }
  const found = unheard(policy.approvals, responders)
  return found === undefined ? [] : [problem('approvals', found.detail, found.remedy)]
}

/** The responders together: their names, and whether there are any. */
function respondersCheck(config: Config): readonly Diagnosis[] {
  if (config.responders.length === 0)
    return [
      warning(
        'responders',
        'there are none: alerts and incidents are recorded, nobody is told and nothing is contained',
        'docs/guides/response.md says how to add one',
      ),
    ]
  const names = config.responders.map(({ use, name = use }) => name)
  // Each is checked by itself; only together they can share a name.
  if (new Set(names).size < names.length) connectResponders(config)
  return []
}

function responderCheck(config: Config, entry: Config['responders'][number]): Promise<readonly Diagnosis[]> {
  const check = `responder ${entry.name ?? entry.use}`
  return attempt(check, async () => {
    const [link] = connectResponders({ ...config, responders: [entry] })
    const { connected, http, responder } = link!
    await connected.check({ http, signal: AbortSignal.timeout(VENDOR_TIMEOUT) })
    return [ok(check, `${responder.title}: answers, and takes our credentials`)]
  })
}
