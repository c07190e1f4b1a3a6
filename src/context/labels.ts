import { z } from 'zod'
import type { Draft } from '../event/event.ts'
import { getText } from '../event/json.ts'
import { readSettings } from '../settings/settings-file.ts'
import { matchesWildcard } from './wildcard.ts'

const name = z.string().min(1)

export const labelSchema = z.strictObject({
  /** A path with `*` for any run of characters, also across folders, and `?` for one. */
  path: name,
  classification: name,
})

/** Which classification paths have: the first pattern that fits decides. */
export type LabelRule = Readonly<z.infer<typeof labelSchema>>

const schema = z.strictObject({ labels: z.array(labelSchema).default([]) })

/** A file that says how paths are classified, kept by whoever owns the data. Immutable: a reload makes a new one. */
export class Labels {
  static readonly EMPTY = new Labels([], 'labels', 0)

  /** Where it was read, and when, in milliseconds since the epoch. */
  readonly source: string
  readonly observed: number
  private readonly rules: readonly LabelRule[]

  constructor(rules: readonly LabelRule[], source: string, observed: number) {
    this.rules = rules
    this.source = source
    this.observed = observed
  }

  /**
   * Reads a label file in YAML or JSON.
   *
   * @throws CordonError `LABELS_YAML`, `LABELS_INVALID`, each with its position
   */
  static parse(text: string, file: string, observed: number): Labels {
    const { data } = readSettings(file, text, schema, {
      notYaml: 'LABELS_YAML',
      invalid: 'LABELS_INVALID',
      hint: 'docs/reference/inventory.md says what a label file has',
    })
    return new Labels(data.labels, file, observed)
  }

  /** The classification of a path. */
  classify(path: string): string | undefined {
    return this.rules.find((label) => matchesWildcard(label.path, path))?.classification
  }
}

/** How strict the known classifications are, on one scale so that two sources' words can be compared. */
const STRICTNESS = new Map(
  [
    ['public', 'personal'],
    ['internal', 'general', 'p2'],
    ['confidential', 'p1'],
    ['restricted', 'highly confidential', 'p0'],
  ].flatMap((words, rank) => words.map((word) => [word, rank] as const)),
)

/** Whether a classification is known to be stricter than another. */
export function isStricter(classification: string, than: string): boolean {
  const [own, other] = [classification, than].map((word) => STRICTNESS.get(word.toLowerCase()))
  return own !== undefined && other !== undefined && own > other
}

/** Where sources carry the label of the file that a record is about: Cordon's own name, and Microsoft Purview's in the Defender tables. */
const CARRIERS = ['file.classification', 'SensitivityLabel', 'properties.SensitivityLabel', 'm365_defender.event.sensitivity.label']

/** The classification that a record says of its file. */
export function carriedLabel({ ecs, native }: Draft): string | undefined {
  for (const path of CARRIERS) {
    const label = getText(ecs, path) ?? (native === undefined ? undefined : getText(native, path))
    if (label !== undefined) return label
  }
  return undefined
}
