import type { Draft } from '../event/event.ts'
import { getPath, getText, isObject, type JsonObject } from '../event/json.ts'
import { formatTime } from '../event/time.ts'
import { DEVICE_NAMES, type DeviceMatch, type Inventory, USER_NAMES, type User } from './inventory.ts'
import { DEVICE_FACTS, type Fact, type Known, type Posture, type PostureRow } from './posture.ts'

/** Whom an event is about, as the inventory knows them. */
interface Subjects {
  readonly device: DeviceMatch | undefined
  readonly user: User | undefined
}

interface Sources {
  readonly inventory: Inventory
  readonly posture: Posture
  readonly recorded?: boolean
}

/**
 * Writes what is known of the posture of an event's device and user, as of its time, into its document: what the record itself observed,
 * else what posture sources did before, else what the inventory says. A record that attests posture teaches it first, of the device and user
 * that it names and of no other.
 *
 * @param ecs the document to write to, with its device and user joined
 * @param happened when, in milliseconds since the epoch
 * @returns rows to store in the transaction that appends the event
 */
export function joinPosture(
  draft: Draft,
  ecs: JsonObject,
  context: JsonObject,
  { device, user }: Subjects,
  { inventory, posture, recorded = false }: Sources,
  happened: number,
): readonly PostureRow[] {
  const namesDevice = DEVICE_NAMES.some((path) => getText(draft.ecs, path) !== undefined)
  const said = draft.attests === true || recorded ? statedFacts(draft.ecs) : {}
  // A sign-in without a device's name that comes from an address of a known device says nothing of that device.
  if (!namesDevice && device !== undefined && !recorded) for (const fact of DEVICE_FACTS) delete said[fact]
  const { mfa, ...ofDevice }: Partial<Record<Fact, boolean>> = said
  const names = {
    device: distinct([getText(ecs, 'device.id'), ...DEVICE_NAMES.map((path) => getText(draft.ecs, path))]),
    user: distinct([user?.id, ...USER_NAMES.toReversed().map((path) => getText(draft.ecs, path))]),
  }

  const source = getText(draft.ecs, 'event.dataset') ?? 'event'
  const observation = { time: happened, source }
  const changes: PostureRow[] = []
  if (draft.attests === true) {
    const own = device === undefined ? names.device : names.device.slice(0, 1)
    if (namesDevice) changes.push(...posture.learn('device', own, ofDevice, observation))
    if (mfa !== undefined) changes.push(...posture.learn('user', user === undefined ? names.user : [user.id], { mfa }, observation))
  }

  const declared: { readonly [fact in Fact]?: boolean | undefined } = {
    ...device?.device.posture,
    ...(user?.mfa === undefined ? {} : { mfa: user.mfa }),
  }
  const known = (fact: Fact): Known | undefined => {
    const kind = fact === 'mfa' ? 'user' : 'device'
    const stated = said[fact]
    if (stated !== undefined) return { value: stated, source, observed: happened }
    const learned = posture.asOf(kind, names[kind], fact, happened)
    const value = declared[fact]
    return learned ?? (value === undefined ? undefined : { value, source: inventory.source, observed: inventory.observed })
  }
  write(ecs, context, 'device', 'posture', DEVICE_FACTS, known)
  write(ecs, context, 'user', 'mfa', ['mfa'], known)
  return changes
}

/** The booleans that a document says of posture. */
function statedFacts(ecs: JsonObject): Partial<Record<Fact, boolean>> {
  const stated: Partial<Record<Fact, boolean>> = {}
  for (const fact of DEVICE_FACTS) {
    const value = getPath(ecs, `device.posture.${fact}`)
    if (typeof value === 'boolean') stated[fact] = value
  }
  const mfa = getPath(ecs, 'user.mfa')
  if (typeof mfa === 'boolean') stated.mfa = mfa
  return stated
}

/** `device.posture.*` or `user.mfa`, and where they are from: of several observations the oldest counts. What a replay has recorded holds. */
function write(
  ecs: JsonObject,
  context: JsonObject,
  holder: 'device' | 'user',
  name: 'posture' | 'mfa',
  facts: readonly Fact[],
  knownOf: (fact: Fact) => Known | undefined,
): void {
  const found = facts.flatMap((fact) => {
    const known = knownOf(fact)
    return known === undefined ? [] : [{ fact, ...known }]
  })
  if (found.length === 0) return
  const value = name === 'mfa' ? found[0]!.value : Object.fromEntries(found.map(({ fact, value }) => [fact, value]))
  ecs[holder] = { ...(isObject(ecs[holder]) ? ecs[holder] : {}), [name]: value }
  const sources = distinct(found.map(({ source }) => source))
  context[name] ??= {
    source: sources.length === 1 ? sources[0]! : [...sources],
    observed: formatTime(Math.min(...found.map(({ observed }) => observed))),
  }
}

function distinct(items: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(items.filter((item) => item !== undefined))]
}
