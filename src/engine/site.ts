import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Inventory } from '../context/inventory.ts'
import { Labels } from '../context/labels.ts'
import type { AskOpinion } from '../response/opinion.ts'
import type { Policy } from '../response/policy.ts'
import type { Configured, Link } from '../response/vendor.ts'
import type { Config } from './config.ts'
import { type ApprovalLinks, approvalLinks } from './door/approval-links.ts'
import { configuredResponders, connectResponders } from './links.ts'
import { opinionOf } from './opinion/opinion.ts'
import type { Role } from './roles.ts'
import { policyOf } from './trust/policy-of.ts'
import { POLICY_SIGNATURE } from './trust/signed-set.ts'
import { WatchedFiles } from './watched-file.ts'

/** What the organisation wrote down besides its rules: policy, inventory, labels of files, and the vendors to act through. */
export interface Site {
  readonly policy: WatchedFiles<Policy>
  readonly opinion: AskOpinion | undefined
  readonly inventory: WatchedFiles<Inventory>
  readonly labels: WatchedFiles<Labels>
  readonly responders: readonly Configured[]
  /** Those that this node calls: none unless it responds, so that no other node reads a vendor's credentials. */
  readonly links: readonly Link[]
  /** Undefined where none are configured, and on a node that neither sends nor answers them. */
  readonly approvalLinks: ApprovalLinks | undefined
}

/** @throws CordonError where policy, inventory, labels or a responder's settings do not load */
export async function readSite(config: Config, roles: ReadonlySet<Role>, onError: (where: string, error: unknown) => void): Promise<Site> {
  const policyFiles = ['grants.yml', 'limits.yml', 'protected.yml', 'approvals.yml', POLICY_SIGNATURE].map((name) =>
    join(config.policy, name),
  )
  const policy = new WatchedFiles(
    policyFiles,
    () => policyOf(config),
    (error) => onError('policy', error),
  )
  return {
    policy,
    inventory: new WatchedFiles(
      config.inventory === undefined ? [] : [config.inventory],
      () => readInventory(config.inventory),
      (error) => onError('inventory', error),
    ),
    labels: new WatchedFiles(
      config.labels === undefined ? [] : [config.labels],
      () => readLabels(config.labels),
      (error) => onError('labels', error),
    ),
    opinion: roles.has('respond') ? await opinionOf(config) : undefined,
    responders: configuredResponders(config),
    links: roles.has('respond') ? connectResponders(config) : [],
    approvalLinks: roles.has('respond') || roles.has('api') ? approvalLinks(config, () => wholePolicy({ policy }).approvals) : undefined,
  }
}

/** The policy as its files are now. The last good one may propose, but only one that is whole may decide or send. @throws what is wrong with it */
export function wholePolicy({ policy }: Pick<Site, 'policy'>): Policy {
  const current = policy.current()
  if (policy.problem !== undefined) throw policy.problem
  return current
}

/** @throws CordonError `INVENTORY_YAML`, `INVENTORY_INVALID`, `INVENTORY_DUPLICATE` */
export function readInventory(path: string | undefined): Inventory {
  return path === undefined ? Inventory.EMPTY : Inventory.parse(readFileSync(path, 'utf8'), path, statSync(path).mtimeMs)
}

function readLabels(path: string | undefined): Labels {
  return path === undefined ? Labels.EMPTY : Labels.parse(readFileSync(path, 'utf8'), path, statSync(path).mtimeMs)
}
