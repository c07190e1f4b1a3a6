import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { CordonError } from '../event/error.ts'
import type { RuleFile } from '../sigma/bundle.ts'
import { PACKAGE_ROOT } from './config.ts'

const RULE_FILE = /\.ya?ml$/i
const BUILTIN_RULES = join(PACKAGE_ROOT, 'rules')

/**
 * The rule, filter and list files under the given files and folders, in the order given, folders sorted by name. Later files
 * replace earlier lists of the same name and filters of the same id, so a site's folder comes last.
 *
 * @throws CordonError `RULES_NOT_FOUND` if a path does not exist
 */
export function readRuleFiles(paths: readonly string[]): readonly RuleFile[] {
  return listRuleFiles(paths).map((path) => ({ path, text: readFileSync(path, 'utf8') }))
}

/**
 * The same files under names that they have on every machine, so that equal rules are one bundle wherever they are activated:
 * `builtin/agent/x.yml` for what comes with Cordon, else by the last part of the path given, `rules/x.yml`.
 *
 * @throws CordonError `RULES_NOT_FOUND`
 */
export function readPortableRuleFiles(paths: readonly string[]): readonly RuleFile[] {
  const nameOf = (root: string) => (root === BUILTIN_RULES ? 'builtin' : basename(root))
  return readRuleFiles(paths).map(({ path, text }) => {
    const root = paths.find((candidate) => isWithin(path, candidate))!
    const alone = paths.every((other) => other === root || nameOf(other) !== nameOf(root))
    return { path: alone ? join(nameOf(root), relative(root, path)) : path, text }
  })
}

/** Where these files are, in the order of loading. @throws CordonError `RULES_NOT_FOUND` */
export function listRuleFiles(paths: readonly string[]): readonly string[] {
  return [...new Set(paths.flatMap(ruleFiles))]
}

function isWithin(path: string, root: string): boolean {
  return path === root || !relative(root, path).startsWith('..')
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
