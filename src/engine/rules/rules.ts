import { type AgentMatcher, agentPatterns, compileAgents } from '../../context/agents.ts'
import { ProcessTree } from '../../context/process-tree.ts'
import { compileDetector, type Detector } from '../../detectors/detector.ts'
import type { Rule, RuleSet } from '../../sigma/ast.ts'
import type { RuleFile } from '../../sigma/bundle.ts'
import { AGENTS_LIST } from '../../sigma/list.ts'
import { type LoadOptions, loadRuleSet } from '../../sigma/load.ts'
import { type RuleRoot, readRuleFiles } from './rule-files.ts'

/**
 * Reads and loads the rules, filters and lists under the given paths; what does not load is in `diagnostics`.
 *
 * @param now when entries that expire are judged for warnings (milliseconds); left out where only errors matter
 * @throws CordonError `RULES_NOT_FOUND`
 */
export function loadRules(roots: readonly RuleRoot[], now?: number): RuleSet {
  return detectorOf(readRuleFiles(roots), now === undefined ? {} : { now }).rules
}

/** The rules of these files that load and can be run, compiled; what does not is in the diagnostics of its `rules`. */
export function detectorOf(files: readonly RuleFile[], { bundle, ...options }: LoadOptions & { readonly bundle?: string } = {}): Detector {
  return compileDetector(loadRuleSet(files, options), bundle === undefined ? {} : { bundle })
}

/** Whether a person who says `name` means this rule: by its id, name or title. */
export function isCalled(rule: Pick<Rule, 'id' | 'name' | 'title'>, name: string): boolean {
  return [rule.id, rule.name, rule.title].includes(name)
}

/** An empty process tree that knows the agents of the rule set's own list. */
export function agentTree(rules: RuleSet): ProcessTree {
  return new ProcessTree(agentsOf(rules))
}

/** Says whose process one is by the agents of the active bundle, whichever that is at the time. */
export function activeAgents(bundles: { active(): string; rulesOf(bundle: string): RuleSet }): AgentMatcher {
  let known: { readonly bundle: string; readonly agentOf: AgentMatcher } | undefined
  return (process) => {
    const bundle = bundles.active()
    if (known?.bundle !== bundle) known = { bundle, agentOf: agentsOf(bundles.rulesOf(bundle)) }
    return known.agentOf(process)
  }
}

function agentsOf(rules: RuleSet): AgentMatcher {
  const names = rules.lists.find(({ name }) => name === AGENTS_LIST)?.values ?? []
  return compileAgents(agentPatterns(names))
}
