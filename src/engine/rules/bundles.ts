import { setTimeout as sleep } from 'node:timers/promises'
import type { Verifier } from '../../audit/note.ts'
import type { Detector } from '../../detectors/detector.ts'
import { CordonError, messageOf } from '../../event/error.ts'
import { digest } from '../../event/id.ts'
import type { RuleSet } from '../../sigma/ast.ts'
import {
  type Activation,
  type BundleManifest,
  type BundleRecord,
  bundleId,
  bundleKey,
  bundleOf,
  type RuleFile,
  recordsOf,
} from '../../sigma/bundle.ts'
import type { LogEntry, Streams } from '../../streams/log.ts'
import { Recent } from '../detection/recent.ts'
import { checkSet } from '../trust/signed-set.ts'
import { detectorOf } from './rules.ts'

/** What workers ask for: the rules that their records name. */
export interface RuleSource {
  /**
   * Resolves when all of these bundles can be asked for.
   *
   * @throws CordonError `BUNDLE_MISSING` if one is not in the log after a while: the batch that names it has to come again
   */
  load(bundles: Iterable<string>): Promise<void>
  /** @throws CordonError `BUNDLE_MISSING` where {@link load} was not waited for */
  rulesOf(bundle: string): RuleSet
  /** The rules, compiled. @throws CordonError `BUNDLE_MISSING` */
  detectorOf(bundle: string): Detector
}

/** Milliseconds. */
export interface BundlesTiming {
  /** Between two looks at the log: how soon an activation by another node is taken up. */
  readonly every: number
  /** How long {@link Bundles.load} waits, and how often it looks meanwhile. */
  readonly patience: number
  readonly impatience: number
}

const TIMING: BundlesTiming = { every: 1_000, patience: 5_000, impatience: 100 }
const PAGE = 500
/** Compiled rules are large and quickly made anew: those in use are a few. */
const DETECTORS_KEPT = 8

/**
 * Reads the bundles log to its end and follows it from there, so that every node takes up an activation within a second or two.
 *
 * @throws what reading the log throws
 */
export async function openBundles(
  streams: Streams,
  timing: BundlesTiming = TIMING,
  compile = detectorOf,
  keys: readonly Verifier[] = [],
): Promise<Bundles> {
  const bundles = new Bundles(streams, timing, compile, keys)
  await bundles.refresh()
  bundles.follow()
  return bundles
}

/**
 * The bundles of rules that any node has activated, as the bundles log has them: immutable, named by their content, verified when
 * they are read (docs/design.md section 5, "Rule changes"). The newest activation counts, in the order of the log.
 */
export class Bundles implements RuleSource {
  private readonly streams: Streams
  private readonly timing: BundlesTiming
  private readonly compile: typeof detectorOf
  private readonly texts = new Map<string, string>()
  private readonly manifests = new Map<string, BundleManifest>()
  private readonly detectors = new Recent<string, Detector>(DETECTORS_KEPT)
  private readonly whole = new Set<string>()
  private readonly activators = new Map<string, string>()
  /** The newest activation in the log, and the newest whose bundle is whole: the one that is in force. */
  private newest: Activation | undefined
  private current: Activation | undefined
  /** Asked for by records, and not in the log. */
  private readonly missing = new Set<string>()
  private failure: CordonError | undefined
  private readonly keys: readonly Verifier[]
  /** The counter of the newest signature, and why what came after it was refused. */
  private counter = 0
  private untrusted: CordonError | undefined
  private readonly listeners: ((activation: Activation) => void)[] = []
  private next = 0
  private reading: Promise<void> = Promise.resolve()
  private readonly closing = new AbortController()

  /** @param keys those that may sign; where there are any, nothing else is put in force */
  constructor(streams: Streams, timing: BundlesTiming = TIMING, compile = detectorOf, keys: readonly Verifier[] = []) {
    this.keys = keys
    this.streams = streams
    this.timing = timing
    this.compile = compile
  }

  /** Id of the bundle that events are stamped with now. @throws CordonError `BUNDLE_NONE` before the first activation */
  active(): string {
    if (this.current !== undefined) return this.current.bundle
    throw new CordonError('BUNDLE_NONE', 'no rules have been activated', {
      hint: 'run "cordon rules activate", or start a node that ingests: the first one activates its own',
    })
  }

  /** Who activated what and when; undefined before the first activation. */
  activation(): Activation | undefined {
    return this.current
  }

  /** Whoever put a bundle in force last; of one that was so before this node can remember, whoever did so with the one of now. */
  activatorOf(bundle: string): string {
    return this.activators.get(bundle) ?? this.current?.by ?? 'unknown'
  }

  rulesOf(bundle: string): RuleSet {
    return this.detectorOf(bundle).rules
  }

  detectorOf(bundle: string): Detector {
    return this.detectors.get(bundle, () => this.compile(this.filesOf(bundle), { bundle }))
  }

  async load(bundles: Iterable<string>): Promise<void> {
    const wanted = new Set(bundles)
    const { patience, impatience } = this.timing
    for (const end = Date.now() + patience; ; await sleep(impatience)) {
      const missing = [...wanted].filter((id) => !this.isWhole(id))
      if (missing.length === 0) return
      if (Date.now() >= end || this.closing.signal.aborted) {
        for (const id of missing) this.missing.add(id)
        throw absent(missing[0]!)
      }
      await this.refresh()
    }
  }

  /**
   * Makes these files the rules of every node, and answers their bundle's id when this node has taken them up. Files that the log
   * has already are not written again; where they are active already, nothing is.
   *
   * @param by who does so, for the record: the requester of what the rules ask for
   * @param signature a signed note over the bundle
   * @throws CordonError `SET_UNSIGNED`, `SET_ROLLED_BACK`; as `Streams.append`
   */
  async activate(files: readonly RuleFile[], by: string, signature?: string): Promise<string> {
    await this.refresh()
    const bundle = bundleOf(files)
    this.counterOf(bundle.id, signature)
    if (this.newest?.bundle === bundle.id && this.newest === this.current) return bundle.id
    const news = recordsOf(bundle).filter((record) =>
      record.kind === 'file' ? !this.texts.has(record.hash) : !this.manifests.has(record.id),
    )
    const activation: Activation = {
      kind: 'activation',
      bundle: bundle.id,
      by,
      at: Date.now(),
      ...(signature === undefined ? {} : { signature }),
    }
    await this.streams.append<BundleRecord>(
      'bundles',
      [...news, activation].map((value) => ({ key: bundleKey(value), value })),
    )
    await this.refresh()
    return bundle.id
  }

  /** What keeps rules from being read now, with its remedy. */
  problem(): CordonError | undefined {
    for (const id of this.missing) if (this.isWhole(id)) this.missing.delete(id)
    const [first] = this.missing
    if (first !== undefined) return absent(first)
    if (this.newest !== undefined && this.newest !== this.current) {
      const { bundle, by } = this.newest
      return new CordonError('BUNDLE_DAMAGED', `the bundle ${bundle} that ${by} activated is not whole in the log`, {
        hint: 'activate the rules again with "cordon rules activate"; until then those from before stay in force',
      })
    }
    return this.failure ?? this.untrusted
  }

  /** Reads what was added to the log before the call. */
  refresh(): Promise<void> {
    const turn = this.reading.then(() => this.read())
    this.reading = turn.catch(() => {})
    return turn
  }

  /** Calls `told` with every activation that this node takes up from now on. */
  onActivation(told: (activation: Activation) => void): void {
    this.listeners.push(told)
  }

  /** Looks at the log again and again until {@link close}; what goes wrong is in {@link problem}. */
  follow(): void {
    const { signal } = this.closing
    const loop = async () => {
      while (!signal.aborted) {
        await sleep(this.timing.every, undefined, { signal, ref: false }).catch(() => {})
        if (!signal.aborted) await this.refresh().catch(() => {})
      }
    }
    void loop()
  }

  /** Stops following. Resolves when nothing is being read any more. */
  async close(): Promise<void> {
    this.closing.abort()
    await this.reading
  }

  private async read(): Promise<void> {
    try {
      for (;;) {
        const entries: readonly LogEntry<BundleRecord>[] = await this.streams.read<BundleRecord>('bundles', 0, this.next, PAGE)
        const last = entries.at(-1)
        if (last === undefined) break
        for (const { value } of entries) this.take(value)
        this.next = last.offset + 1
      }
      this.settle()
      this.failure = undefined
    } catch (error) {
      this.failure = error instanceof CordonError ? error : new CordonError('BUNDLES_UNREADABLE', messageOf(error))
      throw error
    }
  }

  private settle(): void {
    const { newest } = this
    if (newest === undefined || newest === this.current || !this.isWhole(newest.bundle)) return
    this.current = newest
    for (const told of this.listeners) told(newest)
  }

  /** Files and manifests that are not what their name says are passed over, as if they were not there. */
  private take(record: BundleRecord): void {
    if (record.kind === 'activation') this.offer(record)
    else if (record.kind === 'bundle') {
      if (bundleId(record.files) === record.id) this.manifests.set(record.id, record)
    } else if (digest(record.text) === record.hash) this.texts.set(record.hash, record.text)
  }

  /** An activation that nobody who is trusted has signed is passed over: what was in force stays. */
  private offer(activation: Activation): void {
    try {
      this.counter = this.counterOf(activation.bundle, activation.signature)
      this.newest = activation
      this.activators.set(activation.bundle, activation.by)
      this.untrusted = undefined
    } catch (error) {
      this.untrusted = error as CordonError
    }
  }

  /** Of a signature, where there has to be one. @throws CordonError `SET_UNSIGNED`, `SET_ROLLED_BACK` */
  private counterOf(bundle: string, signature: string | undefined): number {
    return this.keys.length === 0 ? 0 : checkSet('rules', bundle, signature, this.keys, this.counter).counter
  }

  private isWhole(id: string): boolean {
    if (this.whole.has(id)) return true
    const whole = this.manifests.get(id)?.files.every(({ hash }) => this.texts.has(hash)) === true
    if (whole) this.whole.add(id)
    return whole
  }

  /** @throws CordonError `BUNDLE_MISSING` where {@link load} was not waited for */
  filesOf(id: string): readonly RuleFile[] {
    if (!this.isWhole(id)) throw absent(id)
    return this.manifests.get(id)!.files.map(({ path, hash }) => ({ path, text: this.texts.get(hash)! }))
  }
}

function absent(id: string): CordonError {
  return new CordonError('BUNDLE_MISSING', `events name the bundle of rules ${id}, which is not whole in the bundles log`, {
    hint: 'they wait, and nothing is lost: activate the same rule files once more, and then those that you want',
  })
}
