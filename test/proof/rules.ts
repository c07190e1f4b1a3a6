import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bundle, bundleOf, type RuleFile } from '../../src/sigma/bundle.ts'

/**
 * The states of the rules that the recorded log goes through: as they were at first, with a filter that tunes a detection under two
 * correlations, and then with another parameter of one of these.
 */
export interface ProofRules {
  readonly first: Bundle
  readonly tuned: Bundle
  readonly changed: Bundle
}

const file = (name: string): RuleFile => ({ path: name, text: readFileSync(join(import.meta.dirname, 'rules', name), 'utf8') })

export function proofRules(): ProofRules {
  const [detections, correlations, tuning] = ['detections.yml', 'correlations.yml', 'tuning.yml'].map(file) as [
    RuleFile,
    RuleFile,
    RuleFile,
  ]
  return {
    first: bundleOf([detections, correlations]),
    tuned: bundleOf([detections, correlations, tuning]),
    changed: bundleOf([detections, withShorterWindow(correlations), tuning]),
  }
}

/** The time in which failed log-ins are many: a parameter of a correlation, which others refer to. */
function withShorterWindow({ path, text }: RuleFile): RuleFile {
  const changed = text.replace(
    'rules: [login_failed], group-by: [user.id], timespan: 10s',
    'rules: [login_failed], group-by: [user.id], timespan: 8s',
  )
  if (changed === text) throw new Error(`${path} has no such correlation`)
  return { path, text: changed }
}
