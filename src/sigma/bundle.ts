import { digest } from '../event/id.ts'
import { canonicalJson } from '../event/json.ts'

/** A rule file: its path, by which errors name it, and its text. */
export interface RuleFile {
  readonly path: string
  readonly text: string
}

/** All rule files of one state of the rules, immutable and named by their content (docs/design.md section 5, "Rule changes"). */
export interface Bundle {
  readonly kind: 'bundle'
  readonly id: string
  /** In the order of loading: later files replace earlier lists of the same name. */
  readonly files: readonly RuleFile[]
}

/** From now on ingest stamps its events with this bundle. */
export interface Activation {
  readonly kind: 'activation'
  readonly bundle: string
  readonly by: string
  /** Milliseconds. */
  readonly at: number
}

export type BundleRecord = Bundle | Activation

/** Names the content: the same files in the same order have the same id wherever they are read. */
export function bundleOf(files: readonly RuleFile[]): Bundle {
  return { kind: 'bundle', id: digest(canonicalJson(files.map(({ path, text }) => [path, text]))).slice(0, 32), files }
}
