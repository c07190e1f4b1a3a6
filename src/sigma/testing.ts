import { expect } from 'vitest'
import type { Condition, DetectionRule, MatchNode, RuleSet, Test } from './ast.ts'
import { leaves } from './detection.ts'
import { type LoadOptions, loadRuleSet } from './load.ts'
import { formatDiagnostic } from './problems.ts'

/** A detection rule around a `detection` section (indented by two), for tests. */
export function detectionRule(detection: string, head = ''): string {
  return `title: A rule\nid: 00000000-0000-4000-8000-000000000001\nlevel: low\nlogsource: {category: test}\ndetection:\n${detection}\n${head}`
}

export function load(text: string | readonly string[], options?: LoadOptions): RuleSet {
  const texts = typeof text === 'string' ? [text] : text
  return loadRuleSet(
    texts.map((content, index) => ({ path: `${index}.yml`, text: content })),
    options,
  )
}

/** Loads what must load without an error. */
export function loadClean(text: string | readonly string[], options?: LoadOptions): RuleSet {
  const rules = load(text, options)
  expect(rules.diagnostics.filter(({ severity }) => severity === 'error').map(formatDiagnostic)).toEqual([])
  return rules
}

/** The condition of a rule with this `detection` section. */
export function conditionOf(detection: string, ...others: string[]): Condition {
  return loadClean([detectionRule(detection), ...others]).detections[0]!.condition
}

/** The tests of `field|modifiers: value`, in order. The value is YAML. */
export function testsOf(key: string, value: string, ...others: string[]): Test[] {
  return leaves(conditionOf(`  s: {'${key}': ${value}}\n  condition: s`, ...others)).map(({ test }) => test)
}

/** A condition as one line: `(a and not b)`, each leaf by its field, or else by what `name` makes of it. */
export function outline(condition: Condition, name: (leaf: MatchNode) => string = (leaf) => leaf.field ?? 'keyword'): string {
  if (condition.op === 'match') return name(condition)
  if (condition.op === 'not') return `not ${outline(condition.operand, name)}`
  return `(${condition.operands.map((operand) => outline(operand, name)).join(` ${condition.op} `)})`
}

/** A text test as it would be written: parts joined, wildcards as themselves. */
export function patternOf(test: Test): string {
  return test.kind === 'text' ? test.parts.map((part) => (typeof part === 'string' ? part : part.wildcard)).join('') : test.kind
}

export function rule(rules: RuleSet, name: string): DetectionRule {
  const found = rules.detections.find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`no rule ${name}`)
  return found
}
