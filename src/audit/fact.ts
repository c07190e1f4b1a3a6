/** Values beside the log were taken away, as many as the entry's `values` says, because they name a person. */
export const ERASED = 'person.erased'

/** What is to be found in the audit log: something that was decided or done, by whom, when and why. */
export interface AuditFact {
  /** Names what happened: told twice, it is written once. */
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly at: number
  /** `effect.confirmed`, `actions.stopped`, `rules.activated` … */
  readonly what: string
  /** What names nobody: ids, hashes, verbs, counts. */
  readonly open: Readonly<Record<string, string | number>>
  /**
   * What may name a person: who decided (`by`), why (`why`), on what or whom. The log holds commitments to these values, and they
   * themselves stand beside it, where erasure can take them away.
   */
  readonly sealed: Readonly<Record<string, string>>
}
