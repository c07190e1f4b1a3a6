import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Inventory } from '../context/inventory.ts'
import type { Policy } from '../response/policy.ts'
import { loadPolicy } from '../response/policy-file.ts'
import type { Link } from '../response/vendor.ts'
import type { Config } from './config.ts'
import { connectResponders } from './links.ts'
import { WatchedFiles } from './watched-file.ts'

/** What the organisation wrote down besides its rules: policy, inventory, and the vendors to act through. */
export interface Site {
  readonly policy: WatchedFiles<Policy>
  readonly inventory: WatchedFiles<Inventory>
  readonly links: readonly Link[]
}

/** @throws CordonError where policy, inventory or a responder's settings do not load */
export function readSite(config: Config, onError: (where: string, error: unknown) => void): Site {
  const policyFiles = ['grants.yml', 'limits.yml', 'protected.yml'].map((name) => join(config.policy, name))
  return {
    policy: new WatchedFiles(
      policyFiles,
      () => loadPolicy(config.policy),
      (error) => onError('policy', error),
    ),
    inventory: new WatchedFiles(
      config.inventory === undefined ? [] : [config.inventory],
      () => readInventory(config.inventory),
      (error) => onError('inventory', error),
    ),
    links: connectResponders(config),
  }
}

function readInventory(path: string | undefined): Inventory {
  return path === undefined ? Inventory.EMPTY : Inventory.parse(readFileSync(path, 'utf8'), path, statSync(path).mtimeMs)
}
