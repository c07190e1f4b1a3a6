import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { CordonError } from '../event/error.ts'

const RULE_FILE = /\.ya?ml$/i

/**
 * The rule, filter and list files under the given files and folders, in the order given, folders sorted by name. Later files
 * replace earlier lists of the same name and filters of the same id, so a site's folder comes last.
 *
 * @throws CordonError `RULES_NOT_FOUND` if a path does not exist
 */
export function readRuleFiles(paths: readonly string[]): { path: string; text: string }[] {
  const seen = new Set<string>()
  return paths
    .flatMap(ruleFiles)
    .filter((path) => !seen.has(path) && seen.add(path))
    .map((path) => ({ path, text: readFileSync(path, 'utf8') }))
}

function ruleFiles(path: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) {
    throw new CordonError('RULES_NOT_FOUND', `no such file or folder: ${path}`, { hint: 'name files or folders with Sigma rules (.yml)' })
  }
  if (!stat.isDirectory()) return [path]
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => (entry.isDirectory() ? !entry.name.startsWith('.') && entry.name !== 'node_modules' : RULE_FILE.test(entry.name)))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.isDirectory() ? ruleFiles(join(path, entry.name)) : [join(path, entry.name)]))
}
