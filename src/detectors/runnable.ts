import type { CordonError } from '../event/error.ts'
import type { Diagnostic, RuleSet } from '../sigma/ast.ts'
import { compileMatcher } from './match/matcher.ts'

/**
 * A rule that parses may still be one that no engine can run safely, such as an expression that takes very long on some texts.
 * Takes such rules out, with the correlations over them, and says so in the diagnostics, as loading does with its own.
 */
export function withoutUnrunnable(rules: RuleSet): RuleSet {
  const { refused } = compileMatcher(rules.detections)
  if (refused.length === 0) return rules
  const gone = new Set(refused.map(({ rule }) => rules.detections[rule]!.id))
  const broken = rules.correlations.filter((correlation) => correlation.rules.some((id) => gone.has(id)))
  return {
    ...rules,
    detections: rules.detections.filter(({ id }) => !gone.has(id)),
    correlations: rules.correlations.filter((correlation) => !broken.includes(correlation)),
    diagnostics: [
      ...rules.diagnostics,
      ...refused.map(({ error }) => diagnosticOf(error)),
      ...broken.map(({ where, rules: parts }): Diagnostic => {
        const { title } = rules.detections.find(({ id }) => gone.has(id) && parts.includes(id))!
        return {
          severity: 'error',
          code: 'SIGMA-REFERENCE-REFUSED',
          message: `the rule "${title}" cannot be run`,
          hint: 'mend that rule; its error is named here too',
          where,
        }
      }),
    ],
    refused: rules.refused + refused.length + broken.length,
  }
}

function diagnosticOf({ code, message, hint, where }: CordonError): Diagnostic {
  return { severity: 'error', code, message, hint, where: where ?? { file: '', line: 1, column: 1 } }
}
