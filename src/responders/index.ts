import { alertmanagerIncident } from './alertmanager-incident.ts'
import type { Endpoint } from './endpoint.ts'
import { evidenceFolder } from './evidence-folder.ts'
import { hostCollectEvidence } from './host-collect-evidence.ts'
import { hostPauseAgent } from './host-pause-agent.ts'
import { hostRestrictAgent } from './host-restrict-agent.ts'
import { keycloakDisableUser } from './keycloak-disable-user.ts'
import { keycloakRevokeSessions } from './keycloak-revoke-sessions.ts'
import { nanomdmLockDevice } from './nanomdm-lock-device.ts'
import { nanomdmQuarantine } from './nanomdm-quarantine.ts'
import { nftablesBlockEgress } from './nftables-block-egress.ts'
import { oauthRevokeTokens } from './oauth-revoke-tokens.ts'
import { openbaoRevokeLeases } from './openbao-revoke-leases.ts'
import { openbaoRevokeTokens } from './openbao-revoke-tokens.ts'
import { openbaoRotateKeys } from './openbao-rotate-keys.ts'
import type { Responder } from './responder.ts'
import { smtpNotify } from './smtp-notify.ts'
import { ssfDeviceCompliance } from './ssf-device-compliance.ts'
import { ssfRevokeSessions } from './ssf-revoke-sessions.ts'
import { webhook } from './webhook.ts'

/** Every responder that there is. The configuration of each names the one server that it calls: see `accessOf`. */
export const RESPONDERS: readonly Responder<Endpoint>[] = [
  nanomdmQuarantine,
  openbaoRevokeTokens,
  alertmanagerIncident,
  webhook,
  smtpNotify,
  oauthRevokeTokens,
  openbaoRevokeLeases,
  openbaoRotateKeys,
  keycloakRevokeSessions,
  keycloakDisableUser,
  ssfRevokeSessions,
  ssfDeviceCompliance,
  nftablesBlockEgress,
  hostPauseAgent,
  hostRestrictAgent,
  evidenceFolder,
  hostCollectEvidence,
  nanomdmLockDevice,
]
