import { z } from 'zod'
import { isObject, type JsonObject, setOwn } from '../event/json.ts'
import { parseTime } from '../event/time.ts'
import { LEVELS, type RuleTest, VERBS } from './ast.ts'
import { didYouMean, fail, type Problems } from './problems.ts'
import { nodeAt, type YamlNode } from './yaml.ts'

/** `x-cordon.tests`, as written. */
export const testSchema = z.strictObject({
  name: z.string().min(1),
  events: z.array(z.record(z.string(), z.unknown())).min(1).optional(),
  like: z.string().min(1).optional(),
  set: z.record(z.string(), z.unknown()).optional(),
  shuffle: z.boolean().default(false),
  expect: z.strictObject({
    alerts: z.int().min(0),
    level: z.enum(LEVELS).optional(),
    entities: z.record(z.string(), z.coerce.string()).optional(),
    actions: z.array(z.enum(VERBS)).optional(),
    late: z.boolean().optional(),
    unknown: z.boolean().optional(),
  }),
})
type WrittenTest = z.infer<typeof testSchema>

type Events = readonly Record<string, unknown>[]

/** Resolves `like` and `set`: each test comes out with events of its own. A test may be like any test before it. */
export function readTests(
  written: readonly WrittenTest[],
  node: YamlNode,
  kind: 'detection' | 'correlation',
  problems: Problems,
): readonly RuleTest[] {
  const events = new Map<string, Events>()
  return written.flatMap((test, index) => {
    const at = nodeAt(node, [index])
    const resolved = problems.attempt((): RuleTest => {
      if (events.has(test.name)) fail('CORDON-TEST', nodeAt(at, ['name']), `there is a test "${test.name}" already`)
      const own = eventsOf(test, events, at)
      for (const [number, event] of own.entries()) checkTime(event, kind, test.events === undefined ? at : nodeAt(at, ['events', number]))
      events.set(test.name, own)
      return { name: test.name, events: own, shuffle: test.shuffle, expect: test.expect as RuleTest['expect'], where: at.position }
    })
    return resolved === undefined ? [] : [resolved]
  })
}

function eventsOf({ name, events, like, set }: WrittenTest, earlier: ReadonlyMap<string, Events>, at: YamlNode): Events {
  if ((events === undefined) === (like === undefined)) fail('CORDON-TEST', at, `the test "${name}" needs either events or "like"`)
  if (events !== undefined) {
    if (set !== undefined) fail('CORDON-TEST', nodeAt(at, ['set']), '"set" changes the events of another test: it goes with "like"')
    return events
  }
  const source = earlier.get(like!)
  if (source === undefined) {
    const hint = didYouMean(like!, earlier.keys()) ?? 'a test may be like one that stands before it'
    return fail('CORDON-TEST', nodeAt(at, ['like']), `no earlier test is named "${like}"`, hint)
  }
  const copy = structuredClone(source) as JsonObject[]
  for (const [path, value] of Object.entries(set ?? {})) setAt(copy, path, value, nodeAt(at, ['set', path]))
  return copy
}

/** Sets `1.destination.ip`: field `destination.ip` of the second event, in the spelling (dotted or nested) that the event has. */
function setAt(events: JsonObject[], path: string, value: unknown, at: YamlNode): void {
  const [, number, field] =
    /^(\d+)\.(.+)$/s.exec(path) ??
    fail('CORDON-TEST', at, `"${path}" is no place in an event`, 'write the number of the event, from 0, and the field: 1.destination.ip')
  const event = events[Number(number)]
  if (event === undefined) fail('CORDON-TEST', at, `there is no event ${number}: they count from 0 to ${events.length - 1}`)
  const keys = field!.split('.')
  let target = event
  while (!Object.hasOwn(target, keys.join('.'))) {
    const next = Object.hasOwn(target, keys[0]!) ? target[keys[0]!] : undefined
    if (keys.length === 1 || !isObject(next)) break
    target = next
    keys.shift()
  }
  setOwn(target, keys.join('.'), value as JsonObject[string])
}

function checkTime(event: Record<string, unknown>, kind: 'detection' | 'correlation', at: YamlNode): void {
  const time = Object.hasOwn(event, '@timestamp') ? event['@timestamp'] : undefined
  if (time === undefined || time === null) {
    if (kind === 'correlation') fail('CORDON-TEST', at, 'the event has no @timestamp, so it takes part in no correlation')
  } else if (parseTime(time as string) === null) fail('CORDON-TEST', nodeAt(at, ['@timestamp']), `@timestamp ${String(time)} is no time`)
}
