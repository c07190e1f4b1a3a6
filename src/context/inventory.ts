import ipaddr from 'ipaddr.js'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { getPath, getText, type JsonObject } from '../event/json.ts'
import { readSettings, type Settings } from '../settings/settings-file.ts'
import { matchesWildcard } from './wildcard.ts'

const name = z.string().min(1)
const address = z.string().refine((text) => ipaddr.isValid(text), 'not an IP address')

const deviceSchema = z.strictObject({
  /** `device.id` in events, rules and policy. */
  id: name,
  name: name.optional(),
  /** Other names that its telemetry uses: host names, host ids. */
  aliases: z.array(name).default([]),
  addresses: z.array(address).default([]),
  /** Its id in the MDM (UDID): without it there is nothing to quarantine. */
  mdm_id: name.optional(),
  /** A user's id. */
  owner: name.optional(),
  groups: z.array(name).default([]),
  /** Never contained by itself. */
  protected: z.boolean().default(false),
})

const userSchema = z.strictObject({
  id: name,
  email: z.email().optional(),
  name: name.optional(),
  groups: z.array(name).default([]),
})

const labelSchema = z.strictObject({
  /** A path with `*` for any run of characters, also across folders, and `?` for one. */
  path: name,
  classification: name,
})

const schema = z.strictObject({
  devices: z.array(deviceSchema).default([]),
  users: z.array(userSchema).default([]),
  /** The first that fits decides. */
  labels: z.array(labelSchema).default([]),
})

export type Device = Readonly<z.infer<typeof deviceSchema>>
export type User = Readonly<z.infer<typeof userSchema>>

/** A device and how it was told: by a name that the event has, by its source address, or by its user's only device. */
export interface DeviceMatch {
  readonly device: Device
  readonly by: 'name' | 'address' | 'owner'
}

/** What the organisation knows of its devices, people and paths. Immutable: a reload makes a new one. */
export class Inventory {
  static readonly EMPTY = new Inventory({ devices: [], users: [], labels: [] }, 'inventory', 0)

  /** Where it was read, and when, in milliseconds since the epoch: what events keep as the origin of their context. */
  readonly source: string
  readonly observed: number
  readonly devices: readonly Device[]
  readonly users: readonly User[]
  private readonly labels: readonly z.infer<typeof labelSchema>[]
  private readonly deviceByName = new Map<string, Device>()
  private readonly deviceByAddress = new Map<string, Device>()
  private readonly devicesByOwner = new Map<string, Device[]>()
  private readonly userByName = new Map<string, User>()

  private constructor(contents: z.infer<typeof schema>, source: string, observed: number) {
    this.source = source
    this.observed = observed
    this.devices = contents.devices
    this.users = contents.users
    this.labels = contents.labels
    for (const device of contents.devices) {
      for (const key of namesOf(device)) this.deviceByName.set(key, device)
      for (const key of device.addresses) this.deviceByAddress.set(canonicalAddress(key), device)
      if (device.owner !== undefined) this.devicesByOwner.set(device.owner, [...(this.devicesByOwner.get(device.owner) ?? []), device])
    }
    // What is written last wins: an email address is a better name than an id, and a display name the worst.
    for (const key of ['name', 'id', 'email'] as const) {
      for (const user of contents.users) if (user[key] !== undefined) this.userByName.set(fold(user[key]), user)
    }
  }

  /**
   * Reads an inventory in YAML or JSON.
   *
   * @param file its name, for error positions and as `context.*.source`
   * @param observed when it was read, in milliseconds since the epoch
   * @throws CordonError `INVENTORY_YAML`, `INVENTORY_INVALID`, `INVENTORY_DUPLICATE`, each with its position
   */
  static parse(text: string, file: string, observed: number): Inventory {
    const read = readSettings(file, text, schema, {
      notYaml: 'INVENTORY_YAML',
      invalid: 'INVENTORY_INVALID',
      hint: 'docs/reference/inventory.md lists every key',
    })
    refuseDuplicates(read)
    return new Inventory(read.data, file, observed)
  }

  /** The device with this id, name or alias; case does not matter. */
  deviceNamed(id: string): Device | undefined {
    return this.deviceByName.get(fold(id))
  }

  /**
   * The device of an event: by `device.id`, `host.id`, `host.name`, `host.hostname`; for an event that names no device, by its source
   * address; and for one that has no address either (Cowork names its user only), by its user's device, if there is exactly one.
   */
  deviceFor(ecs: JsonObject): DeviceMatch | undefined {
    let named = false
    for (const path of DEVICE_NAMES) {
      const id = getText(ecs, path)
      if (id === undefined) continue
      named = true
      const device = this.deviceNamed(id)
      if (device !== undefined) return { device, by: 'name' }
    }
    if (named) return undefined
    const addresses = [getPath(ecs, 'source.ip'), getPath(ecs, 'host.ip')].flat().filter((ip) => typeof ip === 'string')
    for (const ip of addresses) {
      const device = this.deviceByAddress.get(canonicalAddress(ip))
      if (device !== undefined) return { device, by: 'address' }
    }
    const user = addresses.length === 0 ? this.userFor(ecs) : undefined
    const owned = user === undefined ? [] : (this.devicesByOwner.get(user.id) ?? [])
    return owned.length === 1 ? { device: owned[0]!, by: 'owner' } : undefined
  }

  /** The user of an event, by `user.email`, `user.name`, `user.id`. */
  userFor(ecs: JsonObject): User | undefined {
    for (const path of USER_NAMES) {
      const id = getText(ecs, path)
      const user = id === undefined ? undefined : this.userByName.get(fold(id))
      if (user !== undefined) return user
    }
    return undefined
  }

  /** The classification of a path. */
  classify(path: string): string | undefined {
    return this.labels.find((label) => matchesWildcard(label.path, path))?.classification
  }
}

const DEVICE_NAMES = ['device.id', 'host.id', 'host.name', 'host.hostname']
const USER_NAMES = ['user.email', 'user.name', 'user.id']

const fold = (text: string) => text.toLowerCase()

const namesOf = (device: Device) => new Set([device.id, device.name, ...device.aliases].filter((key) => key !== undefined).map(fold))

function canonicalAddress(text: string): string {
  return ipaddr.isValid(text) ? ipaddr.process(text).toString() : text
}

/** Two devices of one name would make containment hit the wrong one. */
function refuseDuplicates({ data: { devices, users }, at: where }: Settings<z.infer<typeof schema>>): void {
  const refuse = (kind: string, keys: readonly (readonly string[])[]) => {
    const seen = new Map<string, number>()
    keys.forEach((own, at) => {
      for (const key of own) {
        const before = seen.get(key)
        if (before !== undefined) {
          throw new CordonError('INVENTORY_DUPLICATE', `${kind} ${at + 1} has the name or address "${key}" of ${kind} ${before + 1}`, {
            where: where([`${kind}s`, at]),
            hint: 'every id, name, alias and address belongs to one entry',
          })
        }
        seen.set(key, at)
      }
    })
  }
  refuse(
    'device',
    devices.map((device) => [...namesOf(device), ...new Set(device.addresses.map(canonicalAddress))]),
  )
  refuse(
    'user',
    users.map((user) => [...new Set([user.id, ...(user.email === undefined ? [] : [user.email])].map(fold))]),
  )
}
