import { CordonError, messageOf } from '../../event/error.ts'
import type { Event, LogSource } from '../../event/event.ts'
import type { DetectionRule } from '../../sigma/ast.ts'
import { Bucket, type IndexedRule } from './bucket.ts'
import { appliesTo } from './logsource.ts'
import { Lowering } from './lower.ts'

export interface Matcher {
  /**
   * The rules that match, by their index in the list that was compiled, ascending; those that are off never do. The array is used again by the next call.
   * Never throws, whatever the event holds.
   */
  match(event: Event): readonly number[]
  /** Rules that cannot be run (an unsafe regular expression, say). They match nothing; the others are not affected. */
  readonly refused: readonly { readonly rule: number; readonly error: CordonError }[]
}

export interface MatcherOptions {
  /** Treats every event as belonging to every log source. */
  readonly anyLogsource?: boolean
}

/** Kinds of event whose route is remembered. Their number is bounded by the rules' log sources, not by what senders write. */
const MOST_ROUTES = 4096

/**
 * Compiles rules to the engine's hot loop (docs/design.md section 4). Buckets, one per set of rules that apply together, are built at
 * the first event that needs them.
 */
export function compileMatcher(rules: readonly DetectionRule[], options: MatcherOptions = {}): Matcher {
  const lowering = new Lowering()
  const runnable: (IndexedRule & { readonly logsource: LogSource })[] = []
  const refused: { rule: number; error: CordonError }[] = []
  rules.forEach((rule, index) => {
    try {
      const logsource = options.anyLogsource === true ? {} : rule.logsource
      const expression = lowering.lower(rule.condition)
      if (rule.extension.mode !== 'off') runnable.push({ rule: index, expression, logsource })
    } catch (error) {
      refused.push({ rule: index, error: asRefusal(error, rule) })
    }
  })

  const named = new Set(runnable.flatMap(({ logsource }) => [logsource.product, logsource.category, logsource.service]))
  const routes = new Map<string, Bucket>()
  const buckets = new Map<string, Bucket>()

  const bucketFor = (tags: readonly LogSource[]): Bucket => {
    const applying = runnable.filter(({ logsource }) => appliesTo(logsource, tags))
    const key = applying.map(({ rule }) => rule).join()
    let bucket = buckets.get(key)
    if (bucket === undefined) {
      bucket = new Bucket(applying)
      buckets.set(key, bucket)
    }
    return bucket
  }

  /** Values that no rule names route alike, so they share a key. */
  const part = (value: string | undefined) => (value !== undefined && named.has(value) ? value : '')
  const routeKey = (tags: readonly LogSource[]) => {
    let key = ''
    for (const tag of tags) key += `${part(tag.product)}\n${part(tag.category)}\n${part(tag.service)}\n`
    return key
  }

  const matches: number[] = []
  return {
    refused,
    match(event) {
      const key = routeKey(event.logsource)
      let bucket = routes.get(key)
      if (bucket === undefined) {
        bucket = bucketFor(event.logsource)
        if (routes.size >= MOST_ROUTES) routes.clear()
        routes.set(key, bucket)
      }
      matches.length = 0
      bucket.match(event, matches)
      return matches
    },
  }
}

function asRefusal(error: unknown, rule: DetectionRule): CordonError {
  if (!(error instanceof CordonError)) return new CordonError('RULE_REFUSED', messageOf(error), { where: rule.where, cause: error })
  return new CordonError(error.code, error.message, {
    where: rule.where,
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  })
}
