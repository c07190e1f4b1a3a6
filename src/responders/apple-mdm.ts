import { build, type PlistValue, parse } from 'plist'
import { CordonError, messageOf } from '../event/error.ts'
import { identity } from '../event/id.ts'

/** A UUID that is named by its parts (RFC 9562 version 8), upper case as Apple's are. */
export function uuidOf(...parts: readonly (string | number)[]): string {
  const hex = identity(...parts)
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `${variant}${hex.slice(17, 20)}`, hex.slice(20, 32)]
    .join('-')
    .toUpperCase()
}

export interface QuarantineProfile {
  /** What the profile is found by on the device. Payload UUIDs derive from it. */
  readonly identifier: string
  readonly organization: string
  /** Shown to the user. */
  readonly description: string
  /** Web sites that stay reachable in the browser. */
  readonly allowedSites: readonly string[]
  /** Sends all HTTP traffic of the system to this proxy, which decides what may pass. */
  readonly proxy?: { readonly host: string; readonly port: number } | undefined
}

/**
 * The restrictive configuration profile for macOS, as XML (Apple Device Management: Restrictions, Parental Controls: Content Filter,
 * Firewall, Global HTTP Proxy). The built-in web content filter is no part of it: macOS takes that payload with a filter plug-in only.
 */
export function quarantineProfile(profile: QuarantineProfile): string {
  const sites = profile.allowedSites.map((address) => ({ address, pageTitle: address }))
  const payloads: Record<string, Record<string, PlistValue>> = {
    // The restrictions of iCloud documents and photos are left out: they remove local copies, and lifting the quarantine would not bring them back.
    'com.apple.applicationaccess': {
      allowActivityContinuation: false,
      allowAirDrop: false,
      allowCloudPrivateRelay: false,
      allowEraseContentAndSettings: false,
      allowiTunesFileSharing: false,
      allowUIConfigurationProfileInstallation: false,
    },
    'com.apple.familycontrols.contentfilter': {
      restrictWeb: true,
      useContentFilter: false,
      // The first pair is for macOS 15.2 and later, the second for all before it.
      allowlistEnabled: true,
      siteAllowlist: sites,
      whitelistEnabled: true,
      siteWhitelist: sites,
    },
    'com.apple.security.firewall': { EnableFirewall: true, BlockAllIncoming: true, EnableStealthMode: true },
  }
  if (profile.proxy !== undefined) {
    payloads['com.apple.proxy.http.global'] = {
      ProxyType: 'Manual',
      ProxyServer: profile.proxy.host,
      ProxyServerPort: profile.proxy.port,
      ProxyCaptiveLoginAllowed: false,
    }
  }
  return build({
    PayloadType: 'Configuration',
    PayloadVersion: 1,
    PayloadScope: 'System',
    PayloadIdentifier: profile.identifier,
    PayloadUUID: uuidOf(profile.identifier),
    PayloadDisplayName: 'Security quarantine',
    PayloadDescription: profile.description,
    PayloadOrganization: profile.organization,
    PayloadRemovalDisallowed: true,
    PayloadContent: Object.entries(payloads).map(([type, settings]) => ({
      PayloadType: type,
      PayloadVersion: 1,
      PayloadIdentifier: `${profile.identifier}.${type.slice('com.apple.'.length)}`,
      PayloadUUID: uuidOf(profile.identifier, type),
      ...settings,
    })),
  })
}

/** An MDM command as the server's queue takes it (XML). */
export function command(uuid: string, requestType: string, parameters: Record<string, PlistValue> = {}): string {
  return build({ CommandUUID: uuid, Command: { RequestType: requestType, ...parameters } })
}

/** What a device answered to a command, reduced to what decides. */
export interface CommandResult {
  readonly status: string
  /** Identifiers of the installed profiles, if the command was ProfileList. */
  readonly profiles?: readonly string[]
  /** The device's reasons, from its ErrorChain, innermost last. */
  readonly error?: string
}

/**
 * Reads the device's answer (the plist that it sent).
 *
 * @throws CordonError `MDM_ANSWER` if it is no answer to a command
 */
export function readResult(xml: string): CommandResult {
  let answer: PlistValue
  try {
    answer = parse(xml)
  } catch (error) {
    throw new CordonError('MDM_ANSWER', `the device's answer is no property list: ${messageOf(error)}`)
  }
  const dict = dictionary(answer)
  if (typeof dict?.Status !== 'string') throw new CordonError('MDM_ANSWER', "the device's answer has no Status")
  const error = dictionaries(dict.ErrorChain).map(describeError).join(', because ')
  return {
    status: dict.Status,
    ...(Array.isArray(dict.ProfileList) ? { profiles: dictionaries(dict.ProfileList).map((item) => String(item.PayloadIdentifier)) } : {}),
    ...(error === '' ? {} : { error }),
  }
}

function describeError(item: Record<string, PlistValue>): string {
  const text = item.USEnglishDescription ?? item.LocalizedDescription ?? 'no description'
  return `${String(text)} (${String(item.ErrorDomain)} ${String(item.ErrorCode)})`
}

function dictionary(value: PlistValue | undefined): Record<string, PlistValue> | undefined {
  const isDictionary =
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date) && !(value instanceof Uint8Array)
  return isDictionary ? (value as Record<string, PlistValue>) : undefined
}

function dictionaries(value: PlistValue | undefined): Record<string, PlistValue>[] {
  return Array.isArray(value) ? value.map(dictionary).filter((item) => item !== undefined) : []
}
