/** What a proof found. It holds if there are no differences. */
export interface Report {
  readonly item: string
  /** What was run, and what was measured. */
  readonly figures: Readonly<Record<string, number | string>>
  /** For people: what is not as it should be. */
  readonly differences: readonly string[]
}

/** Tells what a run is doing, since it may take hours. */
export type Say = (text: string) => void
