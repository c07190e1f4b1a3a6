import type { CordonError } from '../event/error.ts'
import type { Diagnostic, RuleSet } from '../sigma/ast.ts'
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
  const correlations = rules.correlations.filter(({ id, title, where, rules: parts }) => {
    const broken = parts.find((part) => gone.has(part))
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

function diagnosticOf({ code, message, hint, where }: CordonError): Diagnostic {
  return { severity: 'error', code, message, hint, where: where ?? { file: '', line: 1, column: 1 } }
}
