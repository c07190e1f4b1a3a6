/**
 * How well and how fast Agent Threat Rules run: node bench/atr.ts [--events 100]
 * The rules of the package `agent-threat-rules` on the test cases that they carry, here and by the package's own engine in the same
 * run. Scores: the share of true positives that are found and of true negatives that are not, per status. Speed: benign cases as
 * events through all rules, and through the stable ones, per CPU second. Prints one JSON object.
 */
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ATREngine, loadRulesFromDirectory } from 'agent-threat-rules'
import { compileMatcher } from '../src/detectors/match/matcher.ts'
import { withoutUnrunnable } from '../src/detectors/runnable.ts'
import { packagedAgentThreatRules } from '../src/engine/config.ts'
import { readRuleFiles } from '../src/engine/rules/rule-files.ts'
import type { Event } from '../src/event/event.ts'
import { getPath, type JsonObject } from '../src/event/json.ts'
import { normaliserFor } from '../src/normalise/index.ts'
import type { DetectionRule, RuleTest } from '../src/sigma/ast.ts'
import { loadRuleSet } from '../src/sigma/load.ts'

const { values } = parseArgs({ options: { events: { type: 'string', default: '100' } } })

type AtrRule = ReturnType<typeof loadRulesFromDirectory>[number]
type AtrEvent = Parameters<ATREngine['evaluate']>[0]

const folder = packagedAgentThreatRules()
/** The package's engine adds its own rules to those that it is given, unless it is shown a folder without any. */
const nothing = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
process.on('exit', () => rmdirSync(nothing))
const [ruleSet, loadMs] = timed(() => withoutUnrunnable(loadRuleSet(readRuleFiles([folder]))))
const [reference, referenceLoadMs] = timed(() => loadRulesFromDirectory(folder))
const referenceRules = new Map(reference.map((rule) => [rule.id, rule]))
const cases = ruleSet.detections.flatMap((rule, index) => rule.extension.tests.map((test) => ({ rule, index, test })))
const sample = cases
  .filter(({ test }) => test.expect.alerts === 0)
  .filter((_, at, all) => at % Math.ceil(all.length / Number(values.events)) === 0)

interface Score {
  positives: number
  found: number
  foundByReference: number
  negatives: number
  quiet: number
  quietByReference: number
}
let latest: { readonly id: string; readonly engine: ATREngine } | undefined
const scores = new Map<string, Score>()
const matcher = compileMatcher(ruleSet.detections, { anyLogsource: true })
for (const { rule, index, test } of cases) {
  const status = referenceRules.get(rule.id)?.status ?? 'unknown'
  const score = scores.get(status) ?? { positives: 0, found: 0, foundByReference: 0, negatives: 0, quiet: 0, quietByReference: 0 }
  scores.set(status, score)
  const ours = matcher.match(eventOf(test)).includes(index)
  const theirs = await referenceFinds(rule, test)
  if (test.expect.alerts > 0) {
    score.positives++
    score.found += Number(ours)
    score.foundByReference += Number(theirs)
  } else {
    score.negatives++
    score.quiet += Number(!ours)
    score.quietByReference += Number(!theirs)
  }
}

const off = ruleSet.detections.filter(({ extension }) => extension.mode === 'off')
const report = {
  rules: ruleSet.detections.length,
  off: off.length,
  refused: ruleSet.refused + matcher.refused.length,
  left_out: ruleSet.diagnostics.filter(({ code }) => code === 'RULE_REGEX_UNSAFE').length,
  load_ms: loadMs,
  reference_load_ms: referenceLoadMs,
  scores: Object.fromEntries([...scores].map(([status, score]) => [status, rates(score)])),
  events_per_cpu_second: {
    all: await speeds((rule) => rule.status !== 'none'),
    stable: await speeds((rule) => rule.status === 'stable'),
  },
}
process.stdout.write(`${JSON.stringify(report)}\n`)

function rates({ positives, found, foundByReference, negatives, quiet, quietByReference }: Score) {
  const share = (part: number, whole: number) => Math.round((1e4 * part) / Math.max(whole, 1)) / 1e4
  return {
    true_positives: { cases: positives, rate: share(found, positives), reference: share(foundByReference, positives) },
    true_negatives: { cases: negatives, rate: share(quiet, negatives), reference: share(quietByReference, negatives) },
  }
}

/** The sample through the rules that `keep` takes, here and by the package's engine. */
async function speeds(keep: (rule: DetectionRule) => boolean) {
  const kept = ruleSet.detections.filter(keep)
  const own = compileMatcher(kept, { anyLogsource: true })
  const events = sample.map(({ test }) => eventOf(test))
  // The first event compiles the index.
  own.match(events[0]!)
  const [, ms] = timed(() => {
    for (let round = 0; round < 10; round++) for (const event of events) own.match(event)
  })
  const engine = new ATREngine({ rulesDir: nothing, rules: kept.flatMap(({ id }) => referenceRules.get(id) ?? []) })
  await engine.loadRules()
  const theirs = sample.map(({ rule, test }) => referenceEvent(test, referenceRules.get(rule.id)))
  const [, referenceMs] = timed(() => {
    for (const event of theirs) engine.evaluate(event)
  })
  const perSecond = (count: number, spent: number) => Math.round((1e3 * count) / Math.max(spent, 1))
  return { events: events.length, cordon: perSecond(10 * events.length, ms), reference: perSecond(events.length, referenceMs) }
}

function eventOf({ events }: RuleTest): Event {
  const [draft] = normaliserFor('ecs.passthrough').normalise(events[0] as JsonObject)
  const { time, logsource, ecs } = draft!
  return { id: '', time, ingested: 0, logsource, ecs }
}

/** As the package's test runner does it: the rule alone, whatever its status. */
async function referenceFinds(rule: DetectionRule, test: RuleTest): Promise<boolean> {
  const written = referenceRules.get(rule.id)
  if (written === undefined) return false
  // Cases come rule by rule, and each engine is megabytes.
  if (latest?.id !== rule.id) latest = { id: rule.id, engine: await engineOf(written) }
  return latest.engine.evaluate(referenceEvent(test, written)).some((match) => match.rule.id === rule.id)
}

/** With the rule under the source that its cases are sent as. */
async function engineOf(rule: AtrRule): Promise<ATREngine> {
  const source = rule.agent_source?.type
  const type = source === 'mcp_exchange' || source === 'tool_call' ? source : 'llm_io'
  const engine = new ATREngine({
    rulesDir: nothing,
    rules: [{ ...rule, status: 'experimental', agent_source: { ...rule.agent_source, type } }],
  })
  await engine.loadRules()
  return engine
}

function referenceEvent(test: RuleTest, rule: AtrRule | undefined): AtrEvent {
  const { ecs } = eventOf(test)
  const text = (path: string) => {
    const value = getPath(ecs, path)
    return typeof value === 'string' ? value : ''
  }
  const input = text('gen_ai.input.messages')
  const result = text('gen_ai.tool.call.result')
  const args = text('gen_ai.tool.call.arguments')
  const source = rule?.agent_source?.type
  const type = source === 'mcp_exchange' ? 'tool_response' : source === 'tool_call' ? 'tool_call' : 'llm_input'
  const content =
    (type === 'tool_response' && result) || input || args || result || text('gen_ai.output.messages') || text('gen_ai.tool.description')
  const fields = {
    user_input: input,
    agent_output: text('gen_ai.output.messages'),
    tool_name: text('gen_ai.tool.name'),
    tool_args: args,
    tool_response: result,
    tool_description: text('gen_ai.tool.description'),
    content,
  }
  const given = Object.fromEntries(Object.entries(fields).filter(([name, value]) => value !== '' || name === 'tool_name'))
  return { type, timestamp: new Date(0).toISOString(), content, fields: given, sessionId: 'bench', agentId: 'bench' }
}

/** The result and the CPU milliseconds that it took. */
function timed<T>(work: () => T): readonly [T, number] {
  const start = process.cpuUsage()
  const result = work()
  const { user, system } = process.cpuUsage(start)
  return [result, Math.round((user + system) / 1e3)]
}
