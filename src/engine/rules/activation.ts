import { existsSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { CordonError, messageOf } from '../../event/error.ts'
import type { Diagnostic, RuleSet } from '../../sigma/ast.ts'
import { bundleOf } from '../../sigma/bundle.ts'
import { fact } from '../audit/audit-stage.ts'
import type { Trail } from '../audit/trail.ts'
import type { Config } from '../config.ts'
import { accountName } from '../door/orders.ts'
import type { Parts } from '../parts.ts'
import { provenanceOf } from '../trust/policy-of.ts'
import { read } from '../trust/signed-set.ts'
import type { Bundles } from './bundles.ts'
import { listRuleFiles, type RuleRoot, readPortableRuleFiles } from './rule-files.ts'
import { detectorOf } from './rules.ts'

/** Milliseconds between two looks at the rule files. */
const EVERY = 750

/** The account that this process runs under, for the record: `user@host`. */
export function localAccount(): string {
  return `${accountName()}@${hostname()}`
}

/** What keeps the rules on this node's disk from being in force. */
export interface RuleFiles {
  problem(): CordonError | undefined
  /** Looks at the files now, and resolves when what they say is in force or refused. */
  look(): Promise<void>
}

/** Says in the log and the metrics which rules are in force on this node, and when others are. */
export function observeRules({
  audit,
  bundles,
  config,
  metrics,
  observer,
}: Pick<Parts, 'bundles' | 'config' | 'metrics' | 'observer'> & { readonly audit: Pick<Trail, 'tell'> }): void {
  bundles.onActivation(({ bundle, by, at }) => {
    audit.tell(
      fact(
        'rules.activated',
        { bundle, signed: config.trust.keys === undefined ? 'unsigned' : 'signed' },
        { by, why: 'rules in force' },
        at,
      ),
    )
    const { detections, correlations, refused } = bundles.rulesOf(bundle)
    const left = refused === 0 ? '' : `; ${refused} do not load`
    observer.onNote('rules', `${bundle}, activated by ${by}, is in force: ${detections.length + correlations.length} rules${left}`)
  })
  const active = () => bundles.activation()?.bundle
  metrics.observe('cordon_active_bundle', '1 for the bundle of rules that is in force on this node', async () =>
    [active()].flatMap((bundle) => (bundle === undefined ? [] : [{ value: 1, attributes: { bundle } }])),
  )
  metrics.observe('cordon_rules', 'Rules of the bundle in force, by whether they load', async () => {
    const bundle = active()
    if (bundle === undefined) return []
    const { detections, correlations, refused } = bundles.rulesOf(bundle)
    return [
      { value: detections.length + correlations.length, attributes: { state: 'loaded' } },
      { value: refused, attributes: { state: 'refused' } },
    ]
  })
}

/** Says in the audit log and the log which policy decides on this node, and when another one does. */
export function observePolicy({
  audit,
  config,
  observer,
  site,
  onClose,
}: Pick<Parts, 'config' | 'observer' | 'site' | 'onClose'> & { readonly audit: Pick<Trail, 'tell'> }): void {
  site.policy.onTaken(() => {
    try {
      const { id, by } = provenanceOf(config)
      const open = { policy: id, signed: by === undefined ? 'unsigned' : 'signed' }
      audit.tell(fact('policy.activated', open, { by: by ?? localAccount(), why: 'policy in force' }))
    } catch (error) {
      // It changed again since it was read: what it is by then is told when it is read.
      observer.onError('policy', error)
    }
  })
  // A change is told when it is made, not when the next action is decided by it.
  const looking = setInterval(() => site.policy.current(), EVERY)
  looking.unref()
  onClose(() => clearInterval(looking))
}

/**
 * Sees to it that rules are active before events are taken in. On embedded logs they are the files on this node's disk, which are
 * followed from here on. On Kafka nodes share what was activated by command: only the first node of all activates its own.
 *
 * @throws CordonError `RULES_NOT_FOUND`, `BUNDLE_DAMAGED`, and as `Bundles.activate`
 */
export async function startActivation({ config, bundles, metrics, observer, onClose }: Parts): Promise<RuleFiles | undefined> {
  if (config.streams.kind === 'kafka') {
    if (bundles.activation() !== undefined) return undefined
    const problem = bundles.problem()
    // What others have activated and cannot be read is not overruled by what happens to be on this disk.
    if (problem !== undefined) throw problem
    await bundles.activate(readPortableRuleFiles(config.rules), localAccount(), read(config.trust.rules))
    return undefined
  }
  const files = new WatchedRules(config, bundles, (error) => observer.onError('rules', error))
  await files.begin()
  metrics.observe('cordon_rule_files_refused', '1 while the rule files on disk are not in force', async () => [
    { value: files.problem() === undefined ? 0 : 1 },
  ])
  const sighup = () => void files.look()
  process.on('SIGHUP', sighup)
  onClose(async () => {
    process.off('SIGHUP', sighup)
    await files.stop()
  })
  return files
}

/** Activates rule files whenever they have changed and lie still. What must not be is refused, and said once for each change. */
class WatchedRules implements RuleFiles {
  private readonly roots: readonly RuleRoot[]
  /** The file of their signature. */
  private readonly signature: string
  private readonly bundles: Bundles
  private readonly onProblem: (problem: unknown) => void
  private readonly stopping = new AbortController()
  /** How the files were when they were last read, and at the last look. */
  private read = ''
  private seen = ''
  private failure: unknown
  private taking: Promise<void> = Promise.resolve()
  private running: Promise<void> | undefined

  constructor({ rules, trust }: Pick<Config, 'rules' | 'trust'>, bundles: Bundles, onProblem: (problem: unknown) => void) {
    this.roots = rules
    this.signature = trust.rules
    this.bundles = bundles
    this.onProblem = onProblem
  }

  /** @throws what keeps the files from being read: a mistake in the configuration is best seen at start */
  async begin(): Promise<void> {
    await this.look()
    if (this.failure !== undefined && !isRefusal(this.failure)) throw this.failure
    this.running = this.follow()
  }

  problem(): CordonError | undefined {
    if (this.failure === undefined || this.failure instanceof CordonError) return this.failure
    return new CordonError('RULES_UNREADABLE', `the rule files cannot be read: ${messageOf(this.failure)}`, {
      hint: 'check their permissions; until then the rules from before stay in force',
    })
  }

  look(): Promise<void> {
    this.taking = this.taking.then(() => this.take())
    return this.taking
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
    await this.taking
  }

  private async follow(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      await sleep(EVERY, undefined, { signal }).catch(() => {})
      const before = this.seen
      this.seen = stampOf(this.roots, this.signature)
      // A file that is being written, or a checkout that is under way, is not read half.
      if (!signal.aborted && this.seen !== this.read && this.seen === before) await this.look()
    }
  }

  private async take(): Promise<void> {
    const { bundles } = this
    const stamp = stampOf(this.roots, this.signature)
    try {
      const files = readPortableRuleFiles(this.roots)
      const before = bundles.activation()?.bundle
      if (before !== undefined && before !== bundleOf(files).id) {
        const refusal = refusalOf(bundles.rulesOf(before), detectorOf(files).rules)
        if (refusal !== undefined) throw refusal
      }
      await bundles.activate(files, localAccount(), read(this.signature))
      this.failure = undefined
      this.read = stamp
    } catch (error) {
      const known = this.failure !== undefined && messageOf(this.failure) === messageOf(error)
      this.failure = error
      if (!known) this.onProblem(this.problem())
      // What is refused stays so until a file changes; a disk that was full may have space the next time.
      this.read = isRefusal(error) ? stamp : ''
    }
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof CordonError && error.code === 'RULES_REFUSED'
}

/** Changes whenever a rule file does, comes or goes. */
function stampOf(roots: readonly RuleRoot[], signature: string): string {
  try {
    const paths = [...listRuleFiles(roots), ...(existsSync(signature) ? [signature] : [])]
    const stamps = paths.map((path) => {
      const { ino, size, mtimeNs } = statSync(path, { bigint: true })
      return `${path}:${ino}:${size}:${mtimeNs}`
    })
    return stamps.join('\n')
  } catch (error) {
    return messageOf(error)
  }
}

/**
 * Why one state of the rules must not take the place of another: something that was in force would be gone because of a mistake. What
 * was taken out on purpose leaves no error behind, and a new rule that does not load stops only itself.
 */
export function refusalOf(before: RuleSet, after: RuleSet): CordonError | undefined {
  const there = partsOf(after)
  const lost = [...partsOf(before)].filter(([key]) => !there.has(key)).map(([, name]) => name)
  const known = new Set(errorsOf(before).map(nameOf))
  const mistakes = errorsOf(after).filter((diagnostic) => !known.has(nameOf(diagnostic)))
  const [first] = mistakes
  if (first === undefined || lost.length === 0) return undefined
  const more = (count: number) => (count > 0 ? ` and ${count} more` : '')
  const gone = `${lost.slice(0, 3).join(', ')}${more(lost.length - 3)} would be gone`
  return new CordonError('RULES_REFUSED', `${gone}: ${first.code}: ${first.message}${more(mistakes.length - 1)}`, {
    hint: 'mend the file, or take the rule out of it; until then the rules from before stay in force',
    where: first.where,
  })
}

/** What a rule set has that can be in force, by kind and id, with what people call it. */
function partsOf({ detections, correlations, lists }: RuleSet): ReadonlyMap<string, string> {
  const parts = [...detections, ...correlations].flatMap((rule) => rule.parts)
  return new Map([
    ...lists.map(({ name }) => [`list ${name}`, `the list "${name}"`] as const),
    ...parts.map(({ kind, id, title }) => [`${kind} ${id}`, `the ${kind} "${title}"`] as const),
  ])
}

const errorsOf = ({ diagnostics }: RuleSet) => diagnostics.filter(({ severity }) => severity === 'error')
const nameOf = ({ code, message, where }: Diagnostic) => JSON.stringify([where.file, code, message])
