import type { AlertRevision } from '../detectors/alert.ts'
import type { Change } from '../response/recording.ts'

/** What the engine says while it runs: for the log, the terminal and the lab's story. */
export interface EngineObserver {
  /** A change of an effect or incident, or a notice, after it is durable. */
  onChange(change: Change): void
  onAlert(revision: AlertRevision): void
  onError(where: string, error: unknown): void
  /** What is good to know and nobody needs to act on. */
  onNote(where: string, text: string): void
}
