import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, join, relative, sep } from 'node:path'
import { CordonError } from '../../event/error.ts'
import type { RuleFile } from '../../sigma/bundle.ts'
import { PACKAGE_ROOT } from '../config.ts'

const RULE_FILE = /\.ya?ml$/i
const BUILTIN_RULES = join(PACKAGE_ROOT, 'rules')

/** Where Agent Threat Rules are, and which of them count: those with one of these statuses. */
export interface AgentThreatRoot {
  readonly path: string
  readonly status: readonly string[]
}

/** A file or folder of rules. Of a plain path all rules count, of whichever language. */
export type RuleRoot = string | AgentThreatRoot

const pathOf = (root: RuleRoot) => (typeof root === 'string' ? root : root.path)

/**
 * The rule, filter and list files under the given files and folders, in the order given, folders sorted by name. Later files
 * replace earlier lists of the same name and filters of the same id, so a site's folder comes last.
 *
 * @throws CordonError `RULES_NOT_FOUND` if a path does not exist, `RULES_OUTSIDE` if a link leads out of its folder
 */
export function readRuleFiles(roots: readonly RuleRoot[]): readonly RuleFile[] {
  return filesUnder(roots).map(({ file }) => file)
}

/**
 * The same files under names that they have on every machine, so that equal rules are one bundle wherever they are activated:
 * `builtin/agent/x.yml` for what comes with Cordon, `atr/x.yml` for Agent Threat Rules, else by the last part of the path given, `rules/x.yml`.
 *
 * @throws CordonError `RULES_NOT_FOUND`, `RULES_OUTSIDE`
 */
export function readPortableRuleFiles(roots: readonly RuleRoot[]): readonly RuleFile[] {
  return filesUnder(roots).map(({ root, file: { path, text } }) => {
    const alone = roots.every((other) => pathOf(other) === pathOf(root) || portableName(other) !== portableName(root))
    return { path: alone ? join(portableName(root), relative(pathOf(root), path)) : path, text }
  })
}

/** Where these files are, in the order of loading, with those whose status does not count. @throws CordonError `RULES_NOT_FOUND`, `RULES_OUTSIDE` */
export function listRuleFiles(roots: readonly RuleRoot[]): readonly string[] {
  return [...new Set(roots.flatMap((root) => ruleFiles(pathOf(root))))]
}

function portableName(root: RuleRoot): string {
  return typeof root === 'string' ? (root === BUILTIN_RULES ? 'builtin' : basename(root)) : 'atr'
}

/** Each file once, with the root that brought it. */
function filesUnder(roots: readonly RuleRoot[]): readonly { readonly root: RuleRoot; readonly file: RuleFile }[] {
  const found = new Map<string, { readonly root: RuleRoot; readonly file: RuleFile }>()
  for (const root of roots) {
    for (const path of ruleFiles(pathOf(root))) {
      if (found.has(path)) continue
      const text = readFileSync(path, 'utf8')
      if (typeof root === 'string' || root.status.includes(statusOf(text))) found.set(path, { root, file: { path, text } })
    }
  }
  return [...found.values()]
}

/** Of an Agent Threat Rule, as its own line says. */
function statusOf(text: string): string {
  return /^status: *["']?(\w+)/m.exec(text)?.[1] ?? ''
}

function ruleFiles(path: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) {
    throw new CordonError('RULES_NOT_FOUND', `no such file or folder: ${path}`, { hint: 'name files or folders with Sigma rules (.yml)' })
  }
  return stat.isDirectory() ? filesBelow(path, realpathSync(path)) : [path]
}

/** @param root the real path of the folder that was named: whoever may write into it decides about rules, and about no other files */
function filesBelow(folder: string, root: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => (entry.isDirectory() ? !entry.name.startsWith('.') && entry.name !== 'node_modules' : RULE_FILE.test(entry.name)))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return filesBelow(path, root)
      if (entry.isSymbolicLink()) refuseOutside(path, root)
      return [path]
    })
}

/** Links within the folder are as good as files: a mounted ConfigMap consists of them. */
function refuseOutside(path: string, root: string): void {
  const target = statSync(path, { throwIfNoEntry: false }) && realpathSync(path)
  if (target?.startsWith(root + sep)) return
  throw new CordonError(
    'RULES_OUTSIDE',
    `${path} is a link that leads ${target === undefined ? 'nowhere' : `out of its folder, to ${target}`}`,
    {
      hint: 'put a copy of the file there, or name the other folder under rules',
    },
  )
}
