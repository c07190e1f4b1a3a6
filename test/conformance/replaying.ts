import { Inventory } from '../../src/context/inventory.ts'
import { Posture } from '../../src/context/posture.ts'
import { compileDetector } from '../../src/detectors/detector.ts'
import { type ReplayResult, replay } from '../../src/engine/offline/replay.ts'
import { agentTree } from '../../src/engine/rules/rules.ts'
import { type JsonObject, stringifyJson } from '../../src/event/json.ts'
import { Privacy } from '../../src/privacy/privacy.ts'
import type { RuleSet } from '../../src/sigma/ast.ts'
import { loadRuleSet } from '../../src/sigma/load.ts'

/** An event, or its JSON text where the spelling matters. */
export type Input = string | JsonObject

/** Loads one file of rules, filters and lists. */
export function load(text: string): RuleSet {
  return loadRuleSet([{ path: 'rules.yml', text }])
}

/** As {@link load}, of rules that must load. */
export function loadAll(text: string): RuleSet {
  const rules = load(text)
  const errors = rules.diagnostics.filter(({ severity }) => severity === 'error')
  if (errors.length > 0) throw new Error(errors.map(({ code, message }) => `${code}: ${message}`).join('\n'))
  return rules
}

/** What `cordon replay --logsource any --strict` makes of rules and the lines of a file. */
export async function replayLines(rules: RuleSet, events: readonly Input[]): Promise<ReplayResult['alerts']> {
  const { alerts } = await replay(lines(events), {
    detector: compileDetector(rules, { anyLogsource: true, factless: true }),
    normaliser: undefined,
    context: { inventory: Inventory.EMPTY, tree: agentTree(rules), posture: new Posture(), recorded: true },
    privacy: Privacy.DEFAULT,
    onBadRecord: ({ line, code, reason }) => {
      throw new Error(`line ${line}: ${code}: ${reason}`)
    },
    whyNot: [],
    onWhyNot: () => {},
    onProgress: () => {},
  })
  return alerts
}

/** The lines that take part in an alert. */
export function linesOf({ evidence }: ReplayResult['alerts'][number]): number[] {
  return evidence.map(({ line }) => line).sort((a, b) => a - b)
}

async function* lines(events: readonly Input[]) {
  let offset = 0
  for (const [at, event] of events.entries()) {
    const text = typeof event === 'string' ? event : stringifyJson(event)
    yield { text, line: at + 1, offset }
    offset += Buffer.byteLength(text) + 1
  }
}
