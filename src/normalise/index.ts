import { CordonError } from '../event/error.ts'
import type { JsonObject } from '../event/json.ts'
import { agentNormalisers, otlpNormaliser } from './agent/agent-otel.ts'
import { linuxAuditd } from './audit/linux-auditd.ts'
import { broker } from './broker.ts'
import { ecsPassthrough } from './ecs-passthrough.ts'
import { entraAudit } from './entra-audit.ts'
import { intuneManagedDevice } from './intune-managed-device.ts'
import { keycloakEvents } from './keycloak-events.ts'
import { litellm } from './litellm.ts'
import { nanomdmWebhook } from './nanomdm-webhook.ts'
import type { Normaliser } from './normaliser.ts'
import { oktaSystem } from './okta-system.ts'
import { openbaoAudit } from './openbao-audit.ts'
import { squid } from './squid.ts'
import { suricata } from './suricata.ts'
import { windowsEventlog } from './windows/windows-eventlog.ts'
import { zeek } from './zeek/zeek.ts'

/** Every source that Cordon reads, in the order in which records without a declared source are tried: the last takes anything. */
export const NORMALISERS: readonly Normaliser[] = [
  ...agentNormalisers,
  otlpNormaliser,
  linuxAuditd,
  broker,
  oktaSystem,
  windowsEventlog,
  intuneManagedDevice,
  entraAudit,
  keycloakEvents,
  openbaoAudit,
  zeek,
  suricata,
  squid,
  litellm,
  nanomdmWebhook,
  ecsPassthrough,
]

/**
 * The normaliser of a source name.
 *
 * @throws CordonError `SOURCE_UNKNOWN`, naming those that exist
 */
export function normaliserFor(name: string): Normaliser {
  const found = NORMALISERS.find((normaliser) => normaliser.name === name)
  if (found === undefined) {
    const known = NORMALISERS.map((normaliser) => normaliser.name).join(', ')
    throw new CordonError('SOURCE_UNKNOWN', `unknown source "${name}"`, { hint: `known sources: ${known}` })
  }
  return found
}

/** The normaliser of a record whose source nobody declared. */
export function recognise(record: JsonObject): Normaliser {
  return NORMALISERS.find((normaliser) => normaliser.recognises(record)) ?? ecsPassthrough
}
