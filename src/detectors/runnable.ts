import { CordonError } from '../event/error.ts'
import type { Condition, DetectionRule, Diagnostic, RuleSet } from '../sigma/ast.ts'
import { leafOf } from './match/leaf.ts'
import type { Matcher } from './match/matcher.ts'

/**
 * A rule that parses may still be one that no engine can run safely, such as an expression that takes very long on some texts.
 * Takes such rules out, with everything that is built on them, and says so in the diagnostics, as loading does with its own.
 */
export function withoutRefused(rules: RuleSet, refused: Matcher['refused']): RuleSet {
  if (refused.length === 0) return rules
  const gone = new Map(refused.map(({ rule }) => [rules.detections[rule]!.id, rules.detections[rule]!.title]))
  const diagnostics = [...rules.diagnostics, ...refused.map(({ error }) => diagnosticOf(error))]
  // Correlations stand after those that they refer to, so one pass finds all that are built on one another.
  const correlations = rules.correlations.filter(({ id, title, where, rules: parts, reliesOn = [] }) => {
    const broken = [...parts, ...reliesOn].find((part) => gone.has(part))
    if (broken === undefined) return true
    gone.set(id, title)
    diagnostics.push({
      severity: 'error',
      code: 'SIGMA-REFERENCE-REFUSED',
      message: `the rule "${gone.get(broken)}" cannot be run`,
      hint: 'mend that rule; its error is named here too',
      where,
    })
    return false
  })
  return {
    ...rules,
    detections: rules.detections.filter(({ id }) => !gone.has(id)),
    correlations,
    diagnostics,
    refused: rules.refused + gone.size,
  }
}

/**
 * Takes out of rules that are `partial` the alternatives that no engine can run, and warns of each. A rule of which nothing is left
 * is off, like one that asks for what is not supported.
 */
export function withoutUnrunnable(rules: RuleSet): RuleSet {
  const warnings: Diagnostic[] = []
  const detections = rules.detections.map((rule) => {
    if (rule.partial !== true) return rule
    const errors: CordonError[] = []
    const condition = runnablePart(rule.condition, errors)
    if (errors.length === 0) return rule
    const hint = condition === undefined ? 'nothing is left of the rule: it is off' : 'the other alternatives of the rule are run'
    for (const { code, message, where = rule.where } of errors)
      warnings.push({ severity: 'warning', code, message: `left out of "${rule.title}": ${message}`, hint, where })
    return condition === undefined ? switchedOff(rule) : { ...rule, condition }
  })
  return warnings.length === 0 ? rules : { ...rules, detections, diagnostics: [...rules.diagnostics, ...warnings] }
}

function switchedOff(rule: DetectionRule): DetectionRule {
  return { ...rule, condition: NEVER, status: 'unsupported', extension: { ...rule.extension, mode: 'off', response: [], tests: [] } }
}

const NEVER: Condition = { op: 'or', operands: [] }

/** What is left of a condition without the alternatives that cannot be run; undefined if nothing is, or what is left would mean another thing. */
function runnablePart(condition: Condition, errors: CordonError[]): Condition | undefined {
  switch (condition.op) {
    case 'match':
      try {
        leafOf(condition)
        return condition
      } catch (error) {
        if (!(error instanceof CordonError)) throw error
        errors.push(new CordonError(error.code, error.message, { where: condition.where }))
        return undefined
      }
    case 'not': {
      const before = errors.length
      runnablePart(condition.operand, errors)
      return errors.length === before ? condition : undefined
    }
    default: {
      const parts = condition.operands.map((operand) => runnablePart(operand, errors))
      const operands = parts.filter((part) => part !== undefined)
      if (operands.length === parts.length) return { ...condition, operands }
      return condition.op === 'or' && operands.length > 0 ? { ...condition, operands } : undefined
    }
  }
}

function diagnosticOf({ code, message, hint, where }: CordonError): Diagnostic {
  return { severity: 'error', code, message, hint, where: where ?? { file: '', line: 1, column: 1 } }
}
