import type { Draft } from '../event/event.ts'
import { getPath, getText, isObject, type Json, type JsonObject } from '../event/json.ts'
import { withAgentTags } from '../event/logsource.ts'
import { formatTime } from '../event/time.ts'
import type { Device, DeviceMatch, Inventory, User } from './inventory.ts'
import { joinPosture } from './join-posture.ts'
import { carriedLabel, isStricter, type Labels } from './labels.ts'
import type { Posture, PostureRow } from './posture.ts'
import type { ProcessRow, ProcessTree } from './process-tree.ts'

export interface ContextSources {
  readonly inventory: Inventory
  /** The site's label file. It goes before the inventory's own labels. */
  readonly labels?: Labels
  readonly tree: ProcessTree
  readonly posture: Posture
  /** The device of records that name none: the source's own configuration. */
  readonly device?: string
  /** The records were joined when they were recorded (a replay): what they say of their device and its context holds. */
  readonly recorded?: boolean
}

/** What an event taught, for ingest's database. */
export type Learned = ProcessRow | PostureRow

export interface Joined {
  readonly draft: Draft
  /** Rows to store in the transaction that appends the event. */
  readonly changes: readonly Learned[]
}

/** Facts that only Cordon states. A sender that claims them could aim a containment at another device, so its claims do not count. */
const JOINED_DEVICE_FACTS = ['mdm', 'owner', 'groups', 'protected', 'posture', 'ip']

/**
 * Joins an event with what is known of its device, its user, their posture, its process's ancestry and its file, in this order. Once, at ingest: each
 * fact is kept in the event with its source and the time it was observed (`context.{device,user,posture,process,file}`), so a replay
 * repeats the decision. The draft is left as it is; where a fact takes the place of one that the event had, the event as sent stays in `native`.
 *
 * @param now milliseconds since the epoch: when what the event itself says was observed, if it names no time
 */
export function joinContext(draft: Draft, sources: ContextSources, now: number): Joined {
  const context: JsonObject = sources.recorded === true && isObject(draft.ecs.context) ? { ...draft.ecs.context } : {}
  const ecs: JsonObject = { ...draft.ecs }
  const { inventory } = sources
  const happened = draft.time ?? now
  const origin = (source: string, observed: number): JsonObject => ({ source, observed: formatTime(observed) })

  const match = inventory.deviceFor(ecs, happened) ?? matchNamed(inventory, ecs, sources.device)
  const device = deviceFields(ecs, match?.device, sources, happened)
  if (device !== undefined) {
    ecs.device = device.fields
    context.device =
      match === undefined
        ? (context.device ?? origin(device.source, happened))
        : origin(match.by === 'name' ? inventory.source : `${inventory.source}:${match.by}`, inventory.observed)
  } else delete ecs.device

  const user = inventory.userFor(ecs)
  if (isObject(ecs.user) && Object.hasOwn(ecs.user, 'mfa') && sources.recorded !== true) {
    const { mfa: _, ...claimed } = ecs.user
    if (Object.keys(claimed).length > 0) ecs.user = claimed
    else delete ecs.user
  }
  if (user !== undefined) {
    ecs.user = userFields(isObject(ecs.user) ? ecs.user : {}, user, sources)
    context.user = origin(inventory.source, inventory.observed)
  }

  const learned = joinPosture(draft, ecs, context, { device: match, user }, sources, happened)

  const { agent, changes } = sources.tree.apply({ ...draft, ecs }, happened)
  if (agent !== undefined) {
    const genAi = isObject(ecs.gen_ai) ? ecs.gen_ai : {}
    ecs.gen_ai = { ...genAi, agent: { ...(isObject(genAi.agent) ? genAi.agent : {}), name: agent } }
    context.process = origin('process-tree', happened)
  }

  const label = labelOf(draft, ecs, sources)
  if (label !== undefined) {
    ecs.file = { ...(isObject(ecs.file) ? ecs.file : {}), classification: label.classification }
    context.file = origin(label.source, label.observed ?? happened)
  }

  if (Object.keys(context).length > 0) ecs.context = context
  else delete ecs.context
  const native = draft.native ?? (replaces(draft.ecs, ecs) ? draft.ecs : undefined)
  const related = user && relatedWith(ecs.related, user)
  if (related !== undefined) ecs.related = related
  return {
    draft: {
      ...draft,
      ecs,
      logsource: agent === undefined ? draft.logsource : withAgentTags(draft.logsource),
      ...(native === undefined ? {} : { native }),
    },
    changes: [...learned, ...changes],
  }
}

/** The label of an event's file: by its path, or as its source carries it, if that is stricter or the path has none. */
function labelOf(
  draft: Draft,
  ecs: JsonObject,
  { labels, inventory, recorded }: ContextSources,
): { readonly classification: string; readonly source: string; readonly observed?: number } | undefined {
  const paths = [getPath(ecs, 'file.path')].flat().filter((path) => typeof path === 'string')
  const carried = carriedLabel(draft)
  const found = [...(labels === undefined ? [] : [labels]), inventory.labels]
    .flatMap((rules) => paths.map((path) => ({ rules, classification: rules.classify(path) })))
    .find(({ classification }) => classification !== undefined)
  if (found?.classification !== undefined && (carried === undefined || !isStricter(carried, found.classification))) {
    return { classification: found.classification, source: found.rules.source, observed: found.rules.observed }
  }
  if (carried === undefined || (recorded === true && getPath(ecs, 'file.classification') === carried)) return undefined
  return { classification: carried, source: getText(ecs, 'event.dataset') ?? 'event' }
}

/** Events that name no device take the one that their source is configured with. */
function matchNamed(inventory: Inventory, ecs: JsonObject, configured: string | undefined): DeviceMatch | undefined {
  if (configured === undefined || ownDeviceId(ecs) !== undefined) return undefined
  const device = inventory.deviceNamed(configured)
  return device === undefined ? undefined : { device, by: 'name' }
}

function ownDeviceId(ecs: JsonObject): { id: string; from: string } | undefined {
  for (const from of ['device.id', 'host.id', 'host.name']) {
    const id = getText(ecs, from)
    if (id !== undefined) return { id, from }
  }
  return undefined
}

/** `device.*` of a known device; of an unknown one its id alone, so that everything else about it is unknown and counts as such. */
function deviceFields(
  ecs: JsonObject,
  device: Device | undefined,
  { device: configured, recorded }: ContextSources,
  happened: number,
): { fields: JsonObject; source: string } | undefined {
  const claimed: JsonObject = { ...(isObject(ecs.device) ? ecs.device : {}) }
  if (recorded !== true) for (const fact of JOINED_DEVICE_FACTS) delete claimed[fact]
  if (device === undefined) {
    const own = ownDeviceId(ecs) ?? (configured === undefined ? undefined : { id: configured, from: 'configuration' })
    if (own !== undefined) return { fields: { ...claimed, id: own.id }, source: own.from }
    return Object.keys(claimed).length === 0 ? undefined : { fields: claimed, source: 'event' }
  }
  // A vendor may know devices by their names: that of a known device is the inventory's to say.
  if (recorded !== true) delete claimed.name
  const fields: JsonObject = { ...claimed, id: device.id, protected: device.protected }
  if (device.name !== undefined) fields.name = device.name
  if (device.mdm_id !== undefined) fields.mdm = { id: device.mdm_id }
  if (device.owner !== undefined) fields.owner = device.owner
  if (device.groups.length > 0) fields.groups = [...device.groups]
  const addresses = device.addresses.filter(({ from, until }) => from <= happened && happened < until).map(({ address }) => address)
  if (addresses.length > 0) fields.ip = addresses
  return { fields, source: 'inventory' }
}

/**
 * The event's login name stays: it says which account was used. Its address of a known user does not: the inventory's counts, and where that has
 * none it is unknown, so that no sender has another's sessions ended.
 */
function userFields(own: JsonObject, user: User, { recorded }: ContextSources): JsonObject {
  const fields: JsonObject = { ...own, id: user.id }
  if (recorded !== true) delete fields.email
  if (user.email !== undefined) fields.email = user.email
  if (user.name !== undefined) fields.full_name = user.name
  fields.name ??= user.name ?? user.id
  if (user.groups.length > 0) fields.groups = [...user.groups]
  return fields
}

/** `related.*` with the user's own names among its users, where a source lists them. */
function relatedWith(related: Json | undefined, { id, email }: User): JsonObject | undefined {
  if (!isObject(related) || !Array.isArray(related.user)) return undefined
  const missing = [id, email].filter((name) => name !== undefined && !(related.user as Json[]).includes(name))
  return missing.length === 0 ? undefined : { ...related, user: [...related.user, ...(missing as string[])] }
}

/** Whether a value that the event had is gone or another now. Additions do not count. */
function replaces(before: JsonObject, after: JsonObject): boolean {
  if (before === after) return false
  return Object.keys(before).some((name) => differs(before[name], after[name]))
}

function differs(before: Json | undefined, after: Json | undefined): boolean {
  if (before === after) return false
  return isObject(before) && isObject(after) ? replaces(before, after) : true
}
