import type { LogSource } from '../event/event.ts'
import { digest } from '../event/id.ts'
import { canonicalJson } from '../event/json.ts'
import { AGENT_PRODUCT } from '../event/logsource.ts'
import { readAgentThreatTests } from './agent-threat-tests.ts'
import {
  type Condition,
  type Extension,
  LEVELS,
  type Level,
  type MatchNode,
  type ResponseRequest,
  type RulePart,
  type Verb,
} from './ast.ts'
import type { Attributes } from './attributes.ts'
import type { Document } from './documents.ts'
import { DEFAULT_EXTENSION } from './extension.ts'
import { didYouMean, fail } from './problems.ts'
import { get, nodeAt, toData, type YamlMap, type YamlNode } from './yaml.ts'

/** What a detection rule says, without the filters that apply to it. */
export interface TranslatedRule {
  readonly attributes: Attributes
  readonly logsource: LogSource
  readonly extension: Extension
  readonly condition: Condition
  readonly part: RulePart
}

/** The fields that its conditions name, by the names that events have them under: `event/agent-text.ts`. */
const FIELDS: Readonly<Record<string, string>> = {
  user_input: 'atr.user_input',
  agent_output: 'atr.agent_output',
  agent_message: 'atr.agent_output',
  tool_name: 'atr.tool_name',
  tool_args: 'atr.tool_args',
  tool_input: 'atr.tool_args',
  tool_response: 'atr.tool_response',
  tool_description: 'atr.tool_description',
  content: 'atr.content',
}

/** What it wants done, as far as there is a verb for it. What would have had to be done before the event (block_…) is too late for a log. */
const VERBS: Readonly<Record<string, Verb>> = {
  escalate: 'create_incident',
  snapshot: 'collect_forensics',
  quarantine_session: 'pause_agent',
  kill_agent: 'pause_agent',
  reduce_permissions: 'revoke_agent_tokens',
}

/** Methods whose verdict takes more than the text of one event: a judge, a trace, a baseline, a list of hashes. */
const PATTERN = 'pattern'

/** Whether a document with a `detection` is an Agent Threat Rule: those list their conditions, where Sigma has searches. */
export function isAgentThreatRule(root: YamlMap): boolean {
  const detection = get(root, 'detection')
  return detection?.kind === 'map' && get(detection, 'conditions')?.kind === 'list' && get(root, 'agent_source') !== undefined
}

/**
 * Translates an Agent Threat Rule (ATR 1.x, `spec/atr-schema.yaml` of the package `agent-threat-rules`) to the tree that Sigma rules
 * become. One that needs a language model's judgement, a trace or a baseline loads, says so in a warning, and is off.
 * Undefined, with the mistakes in the document's `problems`, where it is not what its specification says.
 */
export function readAgentThreatRule({ root, problems, id, title }: Document): TranslatedRule | undefined {
  const detection = get(root, 'detection') as YamlMap
  const method = textAt(root, 'detection', 'method') ?? PATTERN
  const supported = method === PATTERN
  if (!supported)
    problems.warn(
      'ATR-UNSUPPORTED',
      nodeAt(detection, ['method']),
      `the rule's method is ${method}, which takes more than a pattern: it is off`,
      'only rules of the method "pattern" are run',
    )
  const condition = supported ? problems.attempt(() => readConditions(detection)) : NEVER
  if (problems.failed || condition === undefined) return undefined
  const severity = textAt(root, 'severity')
  const pinned = { detection: toData(detection), severity: severity ?? null, response: toData(nodeAt(root, ['response'])) }
  return {
    attributes: {
      id,
      name: undefined,
      title,
      description: textAt(root, 'description')?.trim(),
      level: LEVELS.find((level) => level === severity) ?? DEFAULT_LEVEL,
      status: supported ? textAt(root, 'status') : 'unsupported',
      tags: tagsOf(root),
      references: textsAt(root, 'references', 'external'),
      falsepositives: textsAt(root, 'detection', 'false_positives'),
    },
    logsource: { product: AGENT_PRODUCT },
    extension: {
      ...DEFAULT_EXTENSION,
      mode: supported ? 'enforce' : 'off',
      response: supported ? responseOf(root) : [],
      tests: supported ? readAgentThreatTests(root) : [],
    },
    condition,
    part: { kind: 'rule', id, title, hash: digest(canonicalJson(pinned)) },
  }
}

const DEFAULT_LEVEL: Level = 'medium'
const NEVER: Condition = { op: 'or', operands: [] }

function readConditions(detection: YamlMap): Condition {
  const link = get(detection, 'condition')
  const how = link?.kind === 'scalar' ? link.text.toLowerCase() : undefined
  if (how !== 'any' && how !== 'or' && how !== 'all' && how !== 'and')
    return fail('ATR-CONDITION', link ?? detection, 'the conditions are linked by neither "any" nor "all"')
  const conditions = get(detection, 'conditions')
  const operands = conditions?.kind === 'list' ? conditions.items.map(readCondition) : []
  if (operands.length === 0) return fail('ATR-CONDITION', conditions ?? detection, 'the rule has no conditions')
  return { op: how === 'any' || how === 'or' ? 'or' : 'and', operands }
}

function readCondition(node: YamlNode): MatchNode & { readonly name?: string } {
  const field = textAt(node, 'field')
  const known = field !== undefined && Object.hasOwn(FIELDS, field) ? FIELDS[field] : undefined
  if (known === undefined)
    return fail('ATR-CONDITION', nodeAt(node, ['field']), `there is no field "${field}"`, didYouMean(field ?? '', Object.keys(FIELDS)))
  const operator = textAt(node, 'operator')
  const value = textAt(node, 'value')
  if (operator !== 'regex' || value === undefined)
    return fail('ATR-CONDITION', node, `the operator is ${operator ?? 'missing'}, and only "regex" with a value is known`)
  const description = textAt(node, 'description')
  return {
    op: 'match',
    field: known,
    // Its engine ignores case whether the expression says so or not.
    test: { kind: 'regex', source: value, ignoreCase: true, multiline: false, dotAll: false },
    text: `${field}|re|i: '${value}'`,
    where: node.position,
    ...(description === undefined ? {} : { name: description }),
  }
}

/** `AML.T0051 - LLM Prompt Injection` → `atlas.aml.t0051`, `ASI01:2026` → `owasp.asi01`, `LLM01:2025` → `owasp.llm01`, `T1059` → `attack.t1059`. */
function tagsOf(root: YamlMap): string[] {
  const first = (key: string) => textsAt(root, 'references', key).map((text) => text.split(/[\s:]/)[0]!.toLowerCase())
  return [
    ...first('mitre_atlas').map((technique) => `atlas.${technique}`),
    ...first('mitre_attack').map((technique) => `attack.${technique}`),
    ...[...first('owasp_agentic'), ...first('owasp_llm')].map((risk) => `owasp.${risk}`),
  ]
}

/** Requests, as any rule's: without a grant of the policy each is a recommendation on the incident. */
function responseOf(root: YamlMap): ResponseRequest[] {
  const verbs = textsAt(root, 'response', 'actions').flatMap((action) => VERBS[action] ?? [])
  return [...new Set(verbs)].map((verb) => ({ do: verb }))
}

function textAt(node: YamlNode, ...path: string[]): string | undefined {
  const found = path.reduce<YamlNode | undefined>((at, key) => (at?.kind === 'map' ? get(at, key) : undefined), node)
  return found?.kind === 'scalar' ? found.text : undefined
}

function textsAt(root: YamlMap, section: string, key: string): string[] {
  const holder = get(root, section)
  const list = holder?.kind === 'map' ? get(holder, key) : undefined
  return list?.kind === 'list' ? list.items.flatMap((item) => (item.kind === 'scalar' ? [item.text] : [])) : []
}
