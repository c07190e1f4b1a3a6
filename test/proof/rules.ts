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

/** The folder in which a node has its rules: bundles name files by it. */
export const FOLDER = 'rules'

const file = (name: string): RuleFile => ({
  path: `${FOLDER}/${name}`,
  text: readFileSync(join(import.meta.dirname, FOLDER, name), 'utf8'),
})

export function proofRules(): ProofRules {
  const files = ['chains.yml', 'correlations.yml', 'detections.yml'].map(file)
  const tuned = [...files, file('tuning.yml')]
  return { first: bundleOf(files), tuned: bundleOf(tuned), changed: bundleOf(tuned.map(withShorterWindow)) }
}

const COUNTED = 'rules: [login_failed], group-by: [user.id], timespan:'

/** The time in which failed log-ins are many: a parameter of a correlation, which others refer to. */
function withShorterWindow({ path, text }: RuleFile): RuleFile {
  return { path, text: text.replace(`${COUNTED} 10s`, `${COUNTED} 8s`) }
}
