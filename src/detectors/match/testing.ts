import type { Event, LogSource } from '../../event/event.ts'
import type { JsonObject } from '../../event/json.ts'
import type { Condition, DetectionRule, MatchNode, Test } from '../../sigma/ast.ts'

/** Hand-made events and rules for this folder's tests. */
export function eventOf(ecs: JsonObject, native: JsonObject | undefined, logsource: readonly LogSource[]): Event {
  return { id: '0', time: 0, ingested: 0, logsource, ecs, ...(native === undefined ? {} : { native }) }
}

const where = { file: 'rule.yml', line: 1, column: 1 }

export function leaf(field: string | null, test: Test, name?: string): MatchNode & { name?: string } {
  return { op: 'match', field, test, text: `${field}: ${test.kind}`, where, ...(name === undefined ? {} : { name }) }
}

export function ruleOf(condition: Condition, logsource: LogSource): DetectionRule {
  return {
    kind: 'detection',
    id: '00000000-0000-4000-8000-000000000000',
    name: undefined,
    title: 'A rule',
    description: undefined,
    level: 'medium',
    status: undefined,
    tags: [],
    references: [],
    falsepositives: [],
    extension: { mode: 'alert', grace: 900_000, entities: {}, suppress: undefined, response: [], tests: [] },
    where,
    parts: [],
    hash: '',
    logsource,
    condition,
    filters: [],
    expiries: [],
  }
}
