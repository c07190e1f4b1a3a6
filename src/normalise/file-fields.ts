import { posix } from 'node:path'
import type { JsonObject } from '../event/json.ts'
import { oneOrList, some } from './shape.ts'

const DOTS = /(?:^|\/)\.{1,2}(?:\/|$)|\/\//

/** The path without `.`, `..` and doubled slashes: `/tmp/../sensitive/pay` must not pass a rule on `/sensitive/`. */
function cleanPath(path: string): string {
  return path.startsWith('/') && DOTS.test(path) ? posix.normalize(path) : path
}

const ROOTED = /^(?:\/|~|[A-Za-z]:[\\/]|\\\\)/

/** `path` as seen from `directory`, where both are known well enough to join them. */
export function joinPath(directory: string | undefined, path: string): string {
  if (ROOTED.test(path) || !directory?.startsWith('/')) return cleanPath(path)
  return posix.join(directory, path)
}

/** ECS `file.*` for the paths that one act touched (a rename touches two); undefined for none. */
export function fileFields(paths: readonly string[]): JsonObject | undefined {
  return some({ path: oneOrList(paths), name: oneOrList(paths.map(baseName)) })
}

/** The last segment of a POSIX or Windows path. */
export function baseName(path: string): string {
  const trimmed = path.replace(/[/\\]$/, '')
  return trimmed.slice(Math.max(trimmed.lastIndexOf('/'), trimmed.lastIndexOf('\\')) + 1)
}
