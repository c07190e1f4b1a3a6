import { Inventory } from '../../context/inventory.ts'
import { Posture } from '../../context/posture.ts'
import type { AlertRevision } from '../../detectors/alert.ts'
import { compileDetector, type Detector } from '../../detectors/detector.ts'
import { messageOf } from '../../event/error.ts'
import { stringifyJson } from '../../event/json.ts'
import { normaliserFor } from '../../normalise/index.ts'
import type { InputLine } from '../../normalise/normaliser.ts'
import { Privacy } from '../../privacy/privacy.ts'
import { askedFor, type Rule, type RuleSet, type RuleTest, TELLING_VERBS } from '../../sigma/ast.ts'
import { detectionsUnder } from '../../sigma/load.ts'
import { replay } from '../offline/replay.ts'
import { agentTree } from './rules.ts'

export interface RuleTestResult {
  readonly rule: Rule
  readonly test: RuleTest
  /** What differs from the expectation, in words; empty where the test passes. */
  readonly problems: readonly string[]
}

/** How many orders of arrival a `shuffle` test tries. */
const ORDERS = 8

/** Runs the tests that the rules carry, through the replay: the same detectors, filters and lists that run live. */
export async function runRuleTests(rules: RuleSet): Promise<readonly RuleTestResult[]> {
  const results: RuleTestResult[] = []
  const detector = compileDetector(tellingAll(rules))
  for (const rule of [...rules.detections, ...rules.correlations]) {
    for (const test of rule.extension.tests) results.push({ rule, test, problems: await problemsOf(detector, rule, test) })
  }
  return results
}

/** A rule that is off for now keeps its tests working, and so does one that only feeds correlations. */
function tellingAll(rules: RuleSet): RuleSet {
  const telling = <R extends Rule>({ silent, ...rule }: R) =>
    rule.extension.mode === 'off' ? { ...rule, extension: { ...rule.extension, mode: 'alert' as const } } : rule
  return { ...rules, detections: rules.detections.map(telling), correlations: rules.correlations.map(telling) }
}

async function problemsOf(detector: Detector, rule: Rule, test: RuleTest): Promise<string[]> {
  const records = test.events.map((event) => stringifyJson(withLogsource(event, rule, detector.rules)))
  const orders = test.shuffle ? Array.from({ length: ORDERS }, (_, at) => permuted(records, at)) : [records]
  for (const [at, order] of orders.entries()) {
    const bad: string[] = []
    const result = await replay(linesOf(order), {
      detector,
      normaliser: normaliserFor('ecs.passthrough'),
      context: { inventory: Inventory.EMPTY, tree: agentTree(detector.rules), posture: new Posture(), recorded: true },
      privacy: Privacy.DEFAULT,
      onBadRecord: ({ line, reason }) => bad.push(`event ${line} cannot be read: ${reason}`),
      whyNot: [],
      onWhyNot: () => {},
      onProgress: () => {},
    }).catch((error) => messageOf(error))
    if (typeof result === 'string') return [result]
    const problems = [
      ...bad,
      ...differences(
        rule,
        test,
        result.alerts.filter((alert) => alert.rule.id === rule.id),
      ),
    ]
    if (problems.length > 0) return at === 0 ? problems : problems.map((problem) => `${problem} (events in another order)`)
  }
  return []
}

function differences(rule: Rule, { expect }: RuleTest, alerts: readonly AlertRevision[]): string[] {
  const problems: string[] = []
  if (alerts.length !== expect.alerts) problems.push(`expected ${expect.alerts} alerts, found ${alerts.length}`)
  for (const alert of alerts) {
    if (expect.level !== undefined && alert.rule.level !== expect.level)
      problems.push(`expected level ${expect.level}, found ${alert.rule.level}`)
    if (expect.late !== undefined && alert.late !== expect.late) problems.push(`expected late to be ${expect.late}`)
    if (expect.unknown !== undefined && (alert.unknown !== undefined) !== expect.unknown)
      problems.push(`expected unknown to be ${expect.unknown}`)
    for (const [kind, id] of Object.entries(expect.entities ?? {})) {
      const found = alert.entities.find((entity) => entity.kind === kind)?.id
      if (found !== id) problems.push(`expected ${kind} ${id}, found ${found ?? 'none'}`)
    }
  }
  if (expect.actions !== undefined) {
    const asked = alerts.length > 0 ? askedFor(rule.extension).map((request) => request.do) : []
    const found = alerts.every(({ unknown }) => unknown !== undefined) ? asked.filter((verb) => TELLING_VERBS.includes(verb)) : asked
    if ([...expect.actions].sort().join() !== [...found].sort().join()) {
      problems.push(`expected the actions ${expect.actions.join(', ') || 'none'}, the rule asks for ${found.join(', ') || 'none'}`)
    }
  }
  return problems
}

/** `logsource: file_access` in a test means the log source of the rule's own detection for that category. */
function withLogsource(event: Readonly<Record<string, unknown>>, rule: Rule, rules: RuleSet): Record<string, unknown> {
  const own = detectionsUnder(rule, rules)
  const { logsource } = event
  if (logsource === undefined) return { ...event, logsource: own.map((part) => part.logsource) }
  if (typeof logsource !== 'string') return { ...event }
  return { ...event, logsource: [own.find((part) => part.logsource.category === logsource)?.logsource ?? { category: logsource }] }
}

/** The records as they are, backwards, and rotated: few orders, but among them every pair in both. */
function permuted<T>(items: readonly T[], order: number): T[] {
  const turned = order % 2 === 0 ? [...items] : items.toReversed()
  const by = Math.floor(order / 2) % Math.max(1, items.length)
  return [...turned.slice(by), ...turned.slice(0, by)]
}

async function* linesOf(texts: readonly string[]): AsyncIterable<InputLine> {
  let offset = 0
  for (const [at, text] of texts.entries()) {
    yield { text, line: at + 1, offset }
    offset += text.length + 1
  }
}
