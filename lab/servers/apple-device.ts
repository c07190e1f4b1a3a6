import { build, type PlistValue, parse } from 'plist'

/** How a simulated device takes commands that change it. It always answers questions, unless it is silent. */
export type DeviceMood = 'obeys' | 'refuses' | 'not-now' | 'silent'

interface Installed {
  readonly uuid: string
  readonly name: string
}

/**
 * A simulated Apple device: its installed profiles, and its answers to MDM commands as property lists, after Apple's Device Management
 * documentation (InstallProfile, ProfileList, RemoveProfile, DeviceLock, SecurityInfo). It says nothing of how commands reach it: in the lab by a call, in the
 * tests against a real MDM server over HTTP.
 */
export class AppleDevice {
  readonly udid: string
  mood: DeviceMood = 'obeys'
  /** Whether FileVault is on. */
  encrypted = true
  /** By PayloadIdentifier. */
  readonly profiles = new Map<string, Installed>()
  /** What opens it again, while it is locked. */
  pin: string | undefined
  /** What it did, oldest first: `installed <identifier>`, `removed <identifier>`, `locked`. */
  readonly history: string[] = []

  constructor(udid: string) {
    this.udid = udid
  }

  /** The report of a device that has nothing to report: it asks for the next command. */
  idle(): string {
    return build({ UDID: this.udid, Status: 'Idle' })
  }

  /** Does a command (XML) and returns the report (XML). */
  answer(commandXml: string): string {
    const { CommandUUID, Command } = parse(commandXml) as { CommandUUID: string; Command: Record<string, PlistValue> }
    return build({ UDID: this.udid, CommandUUID, ...this.#perform(Command) })
  }

  #perform(command: Record<string, PlistValue>): Record<string, PlistValue> {
    if (command.RequestType === 'SecurityInfo') return { Status: 'Acknowledged', SecurityInfo: { FDE_Enabled: this.encrypted } }
    if (command.RequestType === 'ProfileList') return { Status: 'Acknowledged', ProfileList: this.#list() }
    if (this.mood === 'not-now') return { Status: 'NotNow' }
    if (this.mood === 'refuses') return failure(4001, 'MCInstallationErrorDomain', 'Profile Installation Failed')
    if (command.RequestType === 'InstallProfile') return this.#install(command.Payload)
    if (command.RequestType === 'RemoveProfile') return this.#remove(String(command.Identifier))
    if (command.RequestType === 'DeviceLock') return this.#lock(command.PIN)
    return failure(12_021, 'MCMDMErrorDomain', `Unknown command: ${String(command.RequestType)}`)
  }

  #install(payload: PlistValue | undefined): Record<string, PlistValue> {
    if (!(payload instanceof Uint8Array)) return failure(4002, 'MCProfileErrorDomain', 'The profile is invalid')
    const profile = parse(Buffer.from(payload).toString('utf8')) as Record<string, PlistValue>
    const identifier = profile.PayloadIdentifier
    if (profile.PayloadType !== 'Configuration' || typeof identifier !== 'string' || !Array.isArray(profile.PayloadContent)) {
      return failure(1000, 'MCProfileErrorDomain', 'The profile is malformed')
    }
    this.profiles.set(identifier, { uuid: String(profile.PayloadUUID), name: String(profile.PayloadDisplayName) })
    this.history.push(`installed ${identifier}`)
    return { Status: 'Acknowledged' }
  }

  #remove(identifier: string): Record<string, PlistValue> {
    if (!this.profiles.delete(identifier)) return failure(12_034, 'MCMDMErrorDomain', `The profile “${identifier}” is not installed`)
    this.history.push(`removed ${identifier}`)
    return { Status: 'Acknowledged' }
  }

  /** A Mac takes a PIN of six digits, and no second one. */
  #lock(pin: PlistValue | undefined): Record<string, PlistValue> {
    if (typeof pin !== 'string' || !/^\d{6}$/.test(pin))
      return failure(12_078, 'MCMDMErrorDomain', 'The PIN is missing or not of six digits')
    if (this.pin !== undefined) return failure(12_079, 'MCMDMErrorDomain', 'The device is locked already')
    this.pin = pin
    this.history.push('locked')
    return { Status: 'Acknowledged' }
  }

  #list(): PlistValue {
    return [...this.profiles].map(([identifier, { uuid, name }]) => ({
      PayloadIdentifier: identifier,
      PayloadUUID: uuid,
      PayloadVersion: 1,
      PayloadDisplayName: name,
    }))
  }
}

function failure(code: number, domain: string, text: string): Record<string, PlistValue> {
  return { Status: 'Error', ErrorChain: [{ ErrorCode: code, ErrorDomain: domain, LocalizedDescription: text, USEnglishDescription: text }] }
}
