import type { Privacy } from '../privacy/privacy.ts'
import type { Elasticsearch } from '../stores/elasticsearch/client.ts'
import type { Ledger } from '../stores/ledger.ts'
import type { Streams } from '../streams/log.ts'
import type { Trail } from './audit/trail.ts'
import type { Config } from './config.ts'
import type { CrashPoint } from './crash-point.ts'
import type { DataPaths } from './data-folder.ts'
import type { Metrics } from './metrics.ts'
import type { EngineObserver } from './observer.ts'
import type { Role } from './roles.ts'
import type { Bundles } from './rules/bundles.ts'
import type { Site } from './site.ts'

/** What the stages of a node are made of, opened once by the engine. */
export interface Parts {
  readonly config: Config
  readonly roles: ReadonlySet<Role>
  readonly paths: DataPaths
  readonly site: Site
  /** What must not be kept. */
  readonly privacy: Privacy
  readonly streams: Streams
  /** The rules that any node has activated. */
  readonly bundles: Bundles
  /** The cluster that is the store, if it is one. */
  readonly elasticsearch: Elasticsearch | undefined
  /** Takes what is to stand in the audit log. */
  readonly audit: Trail
  readonly metrics: Metrics
  readonly observer: EngineObserver
  readonly probe: (point: CrashPoint) => void
  /** Aborts when the node is asked to stop. */
  readonly stopping: AbortSignal
  /** What has to be done at the end; done in the reverse order. */
  readonly onClose: (close: () => Promise<void> | void) => void
}

/** What the roles share that read and write incidents and effects. */
export interface ResponseParts extends Parts {
  readonly ledger: Ledger
}
