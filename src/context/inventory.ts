import ipaddr from 'ipaddr.js'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { getPath, getText, isObject, type JsonObject } from '../event/json.ts'
import { parseTime } from '../event/time.ts'
import { readSettings, type Settings } from '../settings/settings-file.ts'
import { Labels, labelSchema } from './labels.ts'

const name = z.string().min(1)
const ip = z.string().refine((text) => ipaddr.isValid(text), 'not an IP address')
const time = z.string().transform((text, context) => {
  const parsed = parseTime(text)
  if (parsed === null) context.addIssue({ code: 'custom', message: 'not a time such as 2026-09-01T08:00:00Z' })
  return parsed ?? 0
})
/** An address that a device has, always or for a time: `from` is in it, `until` is not. */
const address = z.union([
  ip.transform((text) => ({ address: text, from: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY })),
  z.strictObject({
    address: ip,
    from: time.default(Number.NEGATIVE_INFINITY),
    until: time.default(Number.POSITIVE_INFINITY),
  }),
])
type Address = z.infer<typeof address>

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
  /** How it is where no posture source knows better. */
  posture: z
    .strictObject({ enrolled: z.boolean().optional(), compliant: z.boolean().optional(), disk_encrypted: z.boolean().optional() })
    .default({}),
})

const userSchema = z.strictObject({
  id: name,
  email: z.email().optional(),
  name: name.optional(),
  /** Other names that identity providers and agents use: object ids, logins. */
  aliases: z.array(name).default([]),
  groups: z.array(name).default([]),
  /** Whether sign-ins take more than one factor, where no identity provider says. */
  mfa: z.boolean().optional(),
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
  readonly labels: Labels
  private readonly deviceByName = new Map<string, Device>()
  private readonly devicesByAddress = new Map<string, (Address & { readonly device: Device })[]>()
  private readonly devicesByOwner = new Map<string, Device[]>()
  private readonly userByName = new Map<string, User>()

  private constructor(contents: z.infer<typeof schema>, source: string, observed: number) {
    this.source = source
    this.observed = observed
    this.devices = contents.devices
    this.users = contents.users
    this.labels = new Labels(contents.labels, source, observed)
    for (const device of contents.devices) {
      for (const key of namesOfDevice(device)) this.deviceByName.set(fold(key), device)
      for (const held of device.addresses) {
        const key = canonicalAddress(held.address)
        this.devicesByAddress.set(key, [...(this.devicesByAddress.get(key) ?? []), { ...held, device }])
      }
      if (device.owner !== undefined) this.devicesByOwner.set(device.owner, [...(this.devicesByOwner.get(device.owner) ?? []), device])
    }
    // What is written last wins: an email address is a better name than an id, and a display name the worst.
    for (const user of contents.users) if (user.name !== undefined) this.userByName.set(fold(user.name), user)
    for (const user of contents.users) for (const alias of user.aliases) this.userByName.set(fold(alias), user)
    for (const key of ['id', 'email'] as const) {
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

  /** The device with this id, name, alias or MDM id; case does not matter. */
  deviceNamed(id: string): Device | undefined {
    return this.deviceByName.get(fold(id))
  }

  /**
   * The device of an event: by `device.id`, `host.id`, `host.name`, `host.hostname`; for an event that names no device, by its source
   * address at that time; and for an agent's telemetry that has no address either (Cowork names its user only), by its user's device, if
   * there is exactly one. A sign-in without an address may come from anywhere, so it is nobody's device's.
   *
   * @param happened when, in milliseconds since the epoch
   */
  deviceFor(ecs: JsonObject, happened: number): DeviceMatch | undefined {
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
      const held = this.devicesByAddress.get(canonicalAddress(ip))?.find(({ from, until }) => from <= happened && happened < until)
      if (held !== undefined) return { device: held.device, by: 'address' }
    }
    const user = addresses.length === 0 && isObject(ecs.gen_ai) ? this.userFor(ecs) : undefined
    const owned = user === undefined ? [] : (this.devicesByOwner.get(user.id) ?? [])
    return owned.length === 1 ? { device: owned[0]!, by: 'owner' } : undefined
  }

  /** The user with this id, name, alias or e-mail address; case does not matter. */
  userNamed(id: string): User | undefined {
    return this.userByName.get(fold(id))
  }

  /** The user of an event, by `user.email`, `user.name`, `user.id`. */
  userFor(ecs: JsonObject): User | undefined {
    for (const path of USER_NAMES) {
      const id = getText(ecs, path)
      const user = id === undefined ? undefined : this.userNamed(id)
      if (user !== undefined) return user
    }
    return undefined
  }
}

export const DEVICE_NAMES = ['device.id', 'host.id', 'host.name', 'host.hostname']
export const USER_NAMES = ['user.email', 'user.name', 'user.id']

/** All that the inventory calls a user. */
export const namesOfUser = ({ id, email, name, aliases }: User): readonly string[] =>
  [id, email, name, ...aliases].filter((one) => one !== undefined)

/** All that the inventory calls a device. */
export const namesOfDevice = ({ id, name, mdm_id: mdm, aliases }: Device): readonly string[] =>
  [id, name, mdm, ...aliases].filter((one) => one !== undefined)

const fold = (text: string) => text.toLowerCase()

function canonicalAddress(text: string): string {
  return ipaddr.isValid(text) ? ipaddr.process(text).toString() : text
}

/** Two devices of one name would make containment hit the wrong one. */
function refuseDuplicates({ data: { devices, users }, at: where }: Settings<z.infer<typeof schema>>): void {
  const duplicate = (kind: string, at: number, key: string, before: number) =>
    new CordonError('INVENTORY_DUPLICATE', `${kind} ${at + 1} has the name or address "${key}" of ${kind} ${before + 1}`, {
      where: where([`${kind}s`, at]),
      hint: 'every id, name, alias and address belongs to one entry at a time',
    })
  const refuse = (kind: string, keys: readonly (readonly string[])[]) => {
    const seen = new Map<string, number>()
    keys.forEach((own, at) => {
      for (const key of own) {
        const before = seen.get(key)
        if (before !== undefined) throw duplicate(kind, at, key, before)
        seen.set(key, at)
      }
    })
  }
  refuse(
    'device',
    devices.map((device) => [...new Set(namesOfDevice(device).map(fold))]),
  )
  refuse(
    'user',
    users.map(({ id, email, aliases }) => [...new Set([id, ...(email === undefined ? [] : [email]), ...aliases].map(fold))]),
  )
  const holders = devices.flatMap(({ addresses }, at) =>
    addresses.map((held) => ({ ...held, at, address: canonicalAddress(held.address) })),
  )
  const taken = new Map<string, typeof holders>()
  for (const held of holders) {
    const others = taken.get(held.address) ?? []
    const other = others.find(({ at, from, until }) => at !== held.at && from < held.until && held.from < until)
    if (other !== undefined) throw duplicate('device', held.at, held.address, other.at)
    taken.set(held.address, [...others, held])
  }
}
