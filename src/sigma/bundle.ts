import { digest } from '../event/id.ts'
import { canonicalJson } from '../event/json.ts'
import type { RuleFile } from './documents.ts'

export type { RuleFile }

/** All rule files of one state of the rules, immutable and named by their content (docs/design.md section 5, "Rule changes"). */
export interface Bundle {
  readonly id: string
  /** In the order of loading: later files replace earlier lists of the same name. */
  readonly files: readonly RuleFile[]
}

/** The text of a file, named by its SHA-256: bundles share the files in which they agree, and none is larger than its largest file. */
export interface FileRecord {
  readonly kind: 'file'
  readonly hash: string
  readonly text: string
}

/** A bundle by the hashes of its files. */
export interface BundleManifest {
  readonly kind: 'bundle'
  readonly id: string
  readonly files: readonly { readonly path: string; readonly hash: string }[]
}

/** From now on ingest stamps its events with this bundle. */
export interface Activation {
  readonly kind: 'activation'
  readonly bundle: string
  readonly by: string
  /** Milliseconds. */
  readonly at: number
  /** A signed note over the bundle, where it was signed. */
  readonly signature?: string
}

/** What the bundles log holds. A bundle's files come before it, and it before its activation. */
export type BundleRecord = FileRecord | BundleManifest | Activation

/** The key under which a record is kept: the newest of each key stays for ever. */
export function bundleKey(record: BundleRecord): string {
  switch (record.kind) {
    case 'file':
      return record.hash
    case 'bundle':
      return record.id
    case 'activation':
      return 'active'
  }
}

export function bundleOf(files: readonly RuleFile[]): Bundle {
  return { id: bundleId(manifestFiles(files)), files }
}

/** The records that make a bundle readable wherever they are read: its files, then its manifest. */
export function recordsOf({ id, files }: Bundle): readonly (FileRecord | BundleManifest)[] {
  const texts = new Map(files.map(({ text }) => [digest(text), text]))
  return [
    ...[...texts].map(([hash, text]): FileRecord => ({ kind: 'file', hash, text })),
    { kind: 'bundle', id, files: manifestFiles(files) },
  ]
}

/** Names the content: the same files in the same order have the same id wherever they are read. */
export function bundleId(files: BundleManifest['files']): string {
  return digest(canonicalJson(files.map(({ path, hash }) => [path, hash]))).slice(0, 32)
}

function manifestFiles(files: readonly RuleFile[]): BundleManifest['files'] {
  return files.map(({ path, text }) => ({ path, hash: digest(text) }))
}
