import { z } from 'zod'
import { isObject, type Json, type JsonObject, setOwn } from '../event/json.ts'
import { formatTime, parseTime } from '../event/time.ts'
import { LEVELS, type RuleTest, VERBS } from './ast.ts'
import { parseDuration } from './duration.ts'
import { didYouMean, fail, type Problems } from './problems.ts'
import { nodeAt, type YamlNode } from './yaml.ts'

/** Copies that `repeat` makes of one event at most: a test is to stay quick. */
const MOST_COPIES = 1_000

/** `x-cordon.tests`, as written. */
export const testSchema = z.strictObject({
  name: z.string().min(1),
  events: z.array(z.record(z.string(), z.unknown())).min(1).optional(),
  like: z.string().min(1).optional(),
  set: z.record(z.string(), z.unknown()).optional(),
  repeat: z.strictObject({ event: z.int().min(0).default(0), times: z.int().min(2).max(MOST_COPIES), every: z.string() }).optional(),
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

/** The events as written: a test that is like this one changes and repeats these, not the copies. */
interface Unrepeated {
  readonly events: readonly JsonObject[]
  readonly repeat: WrittenTest['repeat']
}

/** Resolves `like` and `set`: each test comes out with events of its own. A test may be like any test before it. */
export function readTests(
  written: readonly WrittenTest[],
  node: YamlNode,
  kind: 'detection' | 'correlation',
  problems: Problems,
): readonly RuleTest[] {
  const earlier = new Map<string, Unrepeated>()
  return written.flatMap((test, index) => {
    const at = nodeAt(node, [index])
    const resolved = problems.attempt((): RuleTest => {
      if (earlier.has(test.name)) fail('CORDON-TEST', nodeAt(at, ['name']), `there is a test "${test.name}" already`)
      const own = eventsOf(test, earlier, at)
      for (const [number, event] of own.events.entries())
        checkTime(event, kind, test.events === undefined ? at : nodeAt(at, ['events', number]))
      earlier.set(test.name, own)
      return {
        name: test.name,
        events: repeated(own, at),
        shuffle: test.shuffle,
        expect: test.expect as RuleTest['expect'],
        where: at.position,
      }
    })
    return resolved === undefined ? [] : [resolved]
  })
}

function eventsOf({ name, events, like, set, repeat }: WrittenTest, earlier: ReadonlyMap<string, Unrepeated>, at: YamlNode): Unrepeated {
  if ((events === undefined) === (like === undefined)) fail('CORDON-TEST', at, `the test "${name}" needs either events or "like"`)
  if (events !== undefined) {
    if (set !== undefined) fail('CORDON-TEST', nodeAt(at, ['set']), '"set" changes the events of another test: it goes with "like"')
    return { events: events as JsonObject[], repeat }
  }
  const source = earlier.get(like!)
  if (source === undefined) {
    const hint = didYouMean(like!, earlier.keys()) ?? 'a test may be like one that stands before it'
    return fail('CORDON-TEST', nodeAt(at, ['like']), `no earlier test is named "${like}"`, hint)
  }
  const copy = structuredClone(source.events) as JsonObject[]
  for (const [path, value] of Object.entries(set ?? {})) setAt(copy, path, value, nodeAt(at, ['set', path]))
  return { events: copy, repeat: repeat ?? source.repeat }
}

/** With the copies that `repeat` asks for in the place of their event: each later than the one before, and numbered where it says `{n}`. */
function repeated({ events, repeat }: Unrepeated, at: YamlNode): readonly JsonObject[] {
  if (repeat === undefined) return events
  const every = parseDuration(repeat.every)
  if (every === undefined) fail('CORDON-TEST', nodeAt(at, ['repeat', 'every']), `"${repeat.every}" is no duration`, 'for example: 2s')
  const original = events[repeat.event]
  const first = parseTime(original?.['@timestamp'])
  if (original === undefined || first === null) return fail('CORDON-TEST', at, `there is no event ${repeat.event} with a time to repeat`)
  const copies = Array.from({ length: repeat.times }, (_, number) => ({
    ...(numbered(original, number) as JsonObject),
    '@timestamp': formatTime(first + number * every),
  }))
  return events.toSpliced(repeat.event, 1, ...copies)
}

function numbered(value: Json, number: number): Json {
  if (typeof value === 'string') return value.replaceAll('{n}', String(number))
  if (Array.isArray(value)) return value.map((item) => numbered(item, number))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, numbered(item, number)]))
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

function checkTime(event: JsonObject, kind: 'detection' | 'correlation', at: YamlNode): void {
  const time = Object.hasOwn(event, '@timestamp') ? event['@timestamp'] : undefined
  if (time === undefined || time === null) {
    if (kind === 'correlation') fail('CORDON-TEST', at, 'the event has no @timestamp, so it takes part in no correlation')
  } else if (parseTime(time) === null) fail('CORDON-TEST', nodeAt(at, ['@timestamp']), `@timestamp ${String(time)} is no time`)
}
