import type { Position } from '../event/error.ts'
import type { LogSource } from '../event/event.ts'

/** Severity levels of Sigma 2.1, lowest first. */
export const LEVELS = ['informational', 'low', 'medium', 'high', 'critical'] as const
export type Level = (typeof LEVELS)[number]

/** One piece of a string pattern: literal text, `*` (any run of characters, also line breaks) or `?` (exactly one). */
export type PatternPart = string | { readonly wildcard: '*' | '?' }

/**
 * What one value of the rule asks of one value of the field. All string tests are whole-string: `contains: x` is the
 * pattern `*x*`. Encoding modifiers (base64, wide, windash …) are already applied, so a test is what is compared.
 */
export type Test =
  | { readonly kind: 'text'; readonly parts: readonly PatternPart[]; readonly cased: boolean }
  | { readonly kind: 'number'; readonly value: number | bigint }
  | { readonly kind: 'boolean'; readonly value: boolean }
  /** The field is absent or null. */
  | { readonly kind: 'null' }
  | { readonly kind: 'exists'; readonly value: boolean }
  | { readonly kind: 'regex'; readonly source: string; readonly ignoreCase: boolean; readonly multiline: boolean; readonly dotAll: boolean }
  | { readonly kind: 'cidr'; readonly network: string }
  | { readonly kind: 'compare'; readonly operator: 'lt' | 'lte' | 'gt' | 'gte'; readonly value: number | bigint }
  | { readonly kind: 'timepart'; readonly part: 'minute' | 'hour' | 'day' | 'week' | 'month' | 'year'; readonly value: number }
  | {
      readonly kind: 'fieldref'
      readonly field: string
      readonly position: 'equals' | 'startswith' | 'endswith' | 'contains'
      readonly cased: boolean
    }

/** A leaf: one field (null for keywords, which search every value of the event) and one test. */
export interface MatchNode {
  readonly op: 'match'
  readonly field: string | null
  readonly test: Test
  /** The rule's own words for it, for people: `file.path|startswith: '/sensitive/'`. */
  readonly text: string
  readonly where: Position
  /** The leaf comes from a list or filter entry with an expiry: from that event time on (milliseconds) it is never met. */
  readonly expires?: { readonly at: number; readonly list: string; readonly value: string }
}

/** `name` is the search identifier (`selection_agent`) or filter title that the node stands for, where it stands for one. */
export type Condition =
  | { readonly op: 'and' | 'or'; readonly operands: readonly Condition[]; readonly name?: string }
  | { readonly op: 'not'; readonly operand: Condition; readonly name?: string }
  | (MatchNode & { readonly name?: string })

/** One ingredient of a rule, as a policy grant pins it. */
export interface RulePart {
  readonly kind: 'rule' | 'filter' | 'list'
  readonly id: string
  readonly title: string
  /** SHA-256 of the part; for a filter that only excludes, without its `exclusions`. */
  readonly hash: string
  /**
   * Only for a filter whose condition is `not X`: one canonical text per alternative of X. A filter with more of them, or a new
   * such filter, makes the rule fire on less, which no grant needs to be asked about again.
   */
  readonly exclusions?: readonly string[]
}

export interface RuleHead {
  /** The rule's UUID; where the file has none, a stable id derived from its name or title. */
  readonly id: string
  readonly name: string | undefined
  readonly title: string
  readonly description: string | undefined
  readonly level: Level
  readonly status: string | undefined
  readonly tags: readonly string[]
  readonly references: readonly string[]
  readonly falsepositives: readonly string[]
  readonly extension: Extension
  readonly where: Position
  /** What decides when this rule fires: itself, its children, their filters and lists. A policy grant pins these. */
  readonly parts: readonly RulePart[]
  /** SHA-256 over `parts`. */
  readonly hash: string
}

export interface DetectionRule extends RuleHead {
  readonly kind: 'detection'
  readonly logsource: LogSource
  /** The expanded boolean tree, with filters ANDed in and list placeholders filled. */
  readonly condition: Condition
  /** Ids of the filter documents that apply. */
  readonly filters: readonly string[]
  /** List entries and filter literals that carry an expiry, by the text of the value. Times are milliseconds since the epoch. */
  readonly expiries: readonly { readonly list: string; readonly value: string; readonly expires: number }[]
  /** Only feeds correlations that refer to it (also where these did not load), and does not alert by itself. */
  readonly silent?: true
  /** Alternatives that no engine can run are left out, and the rest of the rule is run: so does the engine that it was written for. */
  readonly partial?: true
}

export type CorrelationType = 'event_count' | 'value_count' | 'value_sum' | 'temporal' | 'temporal_ordered'
export type ThresholdOperator = 'gt' | 'gte' | 'lt' | 'lte' | 'eq' | 'neq'

/** A boolean expression over the referenced rules; `rule` is an index into {@link CorrelationRule.rules}. */
export type RuleExpression =
  | { readonly op: 'and' | 'or'; readonly operands: readonly RuleExpression[] }
  | { readonly op: 'not'; readonly operand: RuleExpression }
  | { readonly op: 'rule'; readonly rule: number }

export interface CorrelationRule extends RuleHead {
  readonly kind: 'correlation'
  readonly type: CorrelationType
  /** Ids of the referenced rules, resolved, in the order of the file (which `temporal_ordered` means). */
  readonly rules: readonly string[]
  readonly groupBy: readonly string[]
  /** Alias name → rule id → field of that rule's events; for a correlation one of those that it is grouped by. */
  readonly aliases: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Milliseconds. */
  readonly timespan: number
  /** Bounds of event_count, value_count and value_sum; several are a range. Empty for the temporal types. */
  readonly bounds: readonly { readonly operator: ThresholdOperator; readonly value: number }[]
  /** value_count: the field or fields whose distinct values count. value_sum: the one whose numbers are added. */
  readonly fields: readonly string[]
  /** temporal types: which of the rules must have matched. Default: all of them. */
  readonly expression: RuleExpression
  /** Ids of the silence rules that watch what it must have heard: where one of their groups was silent, what is absent is unknown. */
  readonly reliesOn?: readonly string[]
  /** The referenced rules also alert by themselves. */
  readonly generate: boolean
  /** Only feeds correlations that refer to it, and does not alert by itself. */
  readonly silent?: true
}

export type Rule = DetectionRule | CorrelationRule

export const VERBS = [
  'create_incident',
  'notify',
  'quarantine_device',
  'lock_device',
  'block_egress',
  'revoke_agent_tokens',
  'revoke_sessions',
  'disable_user',
  'rotate_keys',
  'pause_agent',
  'collect_forensics',
] as const
export type Verb = (typeof VERBS)[number]
/** Those that only tell people, and act on nothing. */
export const TELLING_VERBS: readonly Verb[] = ['create_incident', 'notify']

/** One requested action. A rule requests, a policy grants: approval, limits and expiry are the policy's. */
export interface ResponseRequest {
  readonly do: Verb
  /** The entity that it is aimed at: a name from `entities`. Default: the verb's natural target. */
  readonly target?: string
  /** Wording (mustache over the alert): the incident's title, the message of a notification. */
  readonly title?: string
  readonly message?: string
}

export interface RuleTest {
  readonly name: string
  /** Flat or nested events with `@timestamp`; `logsource` may be a category name or a log source map. */
  readonly events: readonly Record<string, unknown>[]
  readonly shuffle: boolean
  readonly expect: {
    readonly alerts: number
    readonly level?: Level
    readonly entities?: Readonly<Record<string, string>>
    readonly actions?: readonly string[]
    readonly late?: boolean
    readonly unknown?: boolean
  }
  readonly where: Position
}

/** What a rule asks for in its mode: all of its response in `enforce`, in `alert` that people are told, else nothing. */
export function askedFor({ mode, response }: Pick<Extension, 'mode' | 'response'>): readonly ResponseRequest[] {
  if (mode === 'enforce') return response
  return mode === 'alert' ? response.filter((request) => TELLING_VERBS.includes(request.do)) : []
}

/** What is known of a device and its user, joined at ingest; each is true, false, or unknown. */
export const POSTURE_FIELDS = ['device.posture.enrolled', 'device.posture.compliant', 'device.posture.disk_encrypted', 'user.mfa'] as const

/** A rule with one matches only where something that it requires is not so. */
export interface Posture {
  readonly require: readonly (typeof POSTURE_FIELDS)[number][]
  /** What is unknown counts as met, is told and never acted upon, or counts as violated. */
  readonly unknown: 'pass' | 'alert' | 'fail'
}

/** The `x-cordon` section, validated, with defaults filled in. */
export interface Extension {
  readonly mode: 'off' | 'shadow' | 'alert' | 'enforce'
  /** Milliseconds: how late an event may be ingested and still complete a window. Default 15 minutes. */
  readonly grace: number
  /** Entity name → ECS field. Default: device, user, agent, agent_session. */
  readonly entities: Readonly<Record<string, string>>
  /** Only of a detection rule. Its condition asks for it already; this says what an unknown one means. */
  readonly posture?: Posture
  /**
   * Only of a `value_count`: it asks for values that are new to a group that has been watched for `learn` (milliseconds), of which so
   * many `values` are remembered at the most.
   */
  readonly firstSeen?: { readonly learn: number; readonly values: number }
  /** Only of an `event_count`: it asks for groups of which nothing has come for the timespan. */
  readonly silence?: true
  /** Only of a `value_count`: it asks for numbers of a sequence that do not come within `wait` (milliseconds) after a higher one. */
  readonly gaps?: { readonly wait: number }
  /** Only of a correlation: how many groups it takes in one G. Absent: as many as the detectors take by default. */
  readonly groups?: number
  readonly suppress: { readonly by: readonly string[]; readonly for: number } | undefined
  readonly response: readonly ResponseRequest[]
  readonly tests: readonly RuleTest[]
}

/** An error stops the rule that has it, never the others; a warning stops nothing. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning'
  readonly code: string
  readonly message: string
  readonly hint: string | undefined
  readonly where: Position
}

/** All that was loaded, immutable, named by the hash of its contents. */
export interface RuleSet {
  readonly detections: readonly DetectionRule[]
  /** Each after those that it refers to. */
  readonly correlations: readonly CorrelationRule[]
  /** Lists by their name, for what is not a rule: `agents` says which processes are AI agents. */
  readonly lists: readonly { readonly name: string; readonly values: readonly string[] }[]
  readonly diagnostics: readonly Diagnostic[]
  /** The rules that did not load, by id or title: a correlation over one of these does not load either. */
  readonly refused: number
  readonly hash: string
}
