import type { Draft } from '../event/event.ts'
import { getPath, getText, isObject, type Json, type JsonObject } from '../event/json.ts'
import { withAgentTags } from '../event/logsource.ts'
import { formatTime } from '../event/time.ts'
import type { Device, DeviceMatch, Inventory, User } from './inventory.ts'
import type { ProcessRow, ProcessTree } from './process-tree.ts'

export interface ContextSources {
  readonly inventory: Inventory
  readonly tree: ProcessTree
  /** The device of records that name none: the source's own configuration. */
  readonly device?: string
  /** The records were joined when they were recorded (a replay): what they say of their device and its context holds. */
  readonly recorded?: boolean
}

export interface Joined {
  readonly draft: Draft
  /** Rows of the process tree to store in the transaction that appends the event. */
  readonly changes: readonly ProcessRow[]
}

/** Facts that only Cordon states. A sender that claims them could aim a containment at another device, so its claims do not count. */
const JOINED_DEVICE_FACTS = ['mdm', 'owner', 'groups', 'protected']

/**
 * Joins an event with what is known of its device, its user, its process's ancestry and its file, in this order. Once, at ingest: each
 * fact is kept in the event with its source and the time it was observed (`context.{device,user,process,file}`), so a replay repeats
 * the decision. The draft is left as it is; where a fact takes the place of one that the event had, the event as sent stays in `native`.
 *
 * @param now milliseconds since the epoch: when what the event itself says was observed, if it names no time
 */
export function joinContext(draft: Draft, sources: ContextSources, now: number): Joined {
  const context: JsonObject = sources.recorded === true && isObject(draft.ecs.context) ? { ...draft.ecs.context } : {}
  const ecs: JsonObject = { ...draft.ecs }
  const { inventory } = sources
  const happened = draft.time ?? now
  const origin = (source: string, observed: number): JsonObject => ({ source, observed: formatTime(observed) })

  const match = inventory.deviceFor(ecs) ?? matchNamed(inventory, ecs, sources.device)
  const device = deviceFields(ecs, match?.device, sources)
  if (device !== undefined) {
    ecs.device = device.fields
    context.device =
      match === undefined
        ? (context.device ?? origin(device.source, happened))
        : origin(match.by === 'name' ? inventory.source : `${inventory.source}:${match.by}`, inventory.observed)
  } else delete ecs.device

  const user = inventory.userFor(ecs)
  if (user !== undefined) {
    ecs.user = userFields(isObject(ecs.user) ? ecs.user : {}, user)
    context.user = origin(inventory.source, inventory.observed)
  }

  const { agent, changes } = sources.tree.apply({ ...draft, ecs }, happened)
  if (agent !== undefined) {
    const genAi = isObject(ecs.gen_ai) ? ecs.gen_ai : {}
    ecs.gen_ai = { ...genAi, agent: { ...(isObject(genAi.agent) ? genAi.agent : {}), name: agent } }
    context.process = origin('process-tree', happened)
  }

  const classification = [getPath(ecs, 'file.path')]
    .flat()
    .map((path) => (typeof path === 'string' ? inventory.classify(path) : undefined))
    .find((label) => label !== undefined)
  if (classification !== undefined && isObject(ecs.file)) {
    ecs.file = { ...ecs.file, classification }
    context.file = origin(inventory.source, inventory.observed)
  }

  if (Object.keys(context).length > 0) ecs.context = context
  else delete ecs.context
  const native = draft.native ?? (replaces(draft.ecs, ecs) ? draft.ecs : undefined)
  return {
    draft: {
      ...draft,
      ecs,
      logsource: agent === undefined ? draft.logsource : withAgentTags(draft.logsource),
      ...(native === undefined ? {} : { native }),
    },
    changes,
  }
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
): { fields: JsonObject; source: string } | undefined {
  const claimed: JsonObject = { ...(isObject(ecs.device) ? ecs.device : {}) }
  if (recorded !== true) for (const fact of JOINED_DEVICE_FACTS) delete claimed[fact]
  if (device === undefined) {
    const own = ownDeviceId(ecs) ?? (configured === undefined ? undefined : { id: configured, from: 'configuration' })
    if (own !== undefined) return { fields: { ...claimed, id: own.id }, source: own.from }
    return Object.keys(claimed).length === 0 ? undefined : { fields: claimed, source: 'event' }
  }
  const fields: JsonObject = { ...claimed, id: device.id, protected: device.protected }
  if (device.name !== undefined) fields.name = device.name
  if (device.mdm_id !== undefined) fields.mdm = { id: device.mdm_id }
  if (device.owner !== undefined) fields.owner = device.owner
  if (device.groups.length > 0) fields.groups = [...device.groups]
  return { fields, source: 'inventory' }
}

/** The event's login name stays: it says which account was used. */
function userFields(own: JsonObject, user: User): JsonObject {
  const fields: JsonObject = { ...own, id: user.id }
  if (user.email !== undefined) fields.email = user.email
  if (user.name !== undefined) fields.full_name = user.name
  fields.name ??= user.name ?? user.id
  if (user.groups.length > 0) fields.groups = [...user.groups]
  return fields
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
