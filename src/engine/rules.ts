import { agentPatterns, compileAgents } from '../context/agents.ts'
import { ProcessTree } from '../context/process-tree.ts'
import { withoutUnrunnable } from '../detectors/runnable.ts'
import type { Rule, RuleSet } from '../sigma/ast.ts'
import { loadRuleSet } from '../sigma/load.ts'
import { readRuleFiles } from './rule-files.ts'

/** The list that says which processes are AI agents: `rules/lists/agents.yml`. */
const AGENTS_LIST = 'agents'

/**
 * Reads and loads the rules, filters and lists under the given paths; what does not load is in `diagnostics`.
 *
 * @param now when entries that expire are judged for warnings (milliseconds); left out where only errors matter
 * @throws CordonError `RULES_NOT_FOUND`
 */
export function loadRules(paths: readonly string[], now?: number): RuleSet {
  return withoutUnrunnable(loadRuleSet(readRuleFiles(paths), now === undefined ? {} : { now }))
}

/** Whether a person who says `name` means this rule: by its id, name or title. */
export function isCalled(rule: Pick<Rule, 'id' | 'name' | 'title'>, name: string): boolean {
  return [rule.id, rule.name, rule.title].includes(name)
}

/** An empty process tree that knows the agents of the rule set's own list. */
export function agentTree(rules: RuleSet): ProcessTree {
  const names = rules.lists.find(({ name }) => name === AGENTS_LIST)?.values ?? []
  return new ProcessTree(compileAgents(agentPatterns(names)))
}
