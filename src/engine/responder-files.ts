import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, parse } from 'node:path'
import { CordonError } from '../event/error.ts'
import { loadResponder } from '../responders/declared/load.ts'
import type { Endpoint } from '../responders/endpoint.ts'
import { RESPONDERS } from '../responders/index.ts'
import type { Responder } from '../responders/responder.ts'
import { PACKAGE_ROOT } from './config.ts'
import { listRuleFiles } from './rules/rule-files.ts'

/** What comes with Cordon beside the responders that are code. */
export const SHIPPED_RESPONDER_FILES = join(PACKAGE_ROOT, 'responders')

/** Whether a YAML file describes a responder: rules, filters and lists have no verb. */
const isResponderFile = (path: string) => /^verb:/m.test(readFileSync(path, 'utf8'))

/**
 * Checks the responder files among the YAML files under the given paths.
 *
 * @returns how many there are, what is wrong with them, and the files that are something else
 * @throws CordonError `RULES_NOT_FOUND` if a path does not exist
 */
export function checkResponderFiles(paths: readonly string[]): {
  readonly responders: number
  readonly problems: readonly CordonError[]
  readonly others: readonly string[]
} {
  const files = listRuleFiles(paths)
  const responders = files.filter(isResponderFile)
  return {
    responders: responders.length,
    problems: responders.flatMap(problemOf),
    others: files.filter((file) => !responders.includes(file)),
  }
}

function problemOf(path: string): readonly CordonError[] {
  try {
    loadResponder(path, readFileSync(path, 'utf8'))
    return []
  } catch (error) {
    if (error instanceof CordonError) return [error]
    throw error
  }
}

/** Names of all responders that there are for a configuration: those that are code, and those of the files. */
export function responderNames(paths: readonly string[]): readonly string[] {
  return [...RESPONDERS.map(({ name }) => name), ...paths.flatMap(filesOf).map(nameOf)]
}

/**
 * The responder of a name, undefined if there is none. A file is called as its responder is, so only what is used is read.
 *
 * @param paths files, or folders of them
 * @throws CordonError `RESPONDER_FILE_MISSING`, `RESPONDER_FILE_TWICE`, and what a file that does not load throws
 */
export function responderNamed(name: string, paths: readonly string[]): Responder<Endpoint> | undefined {
  const code = RESPONDERS.find((responder) => responder.name === name)
  const [file, second] = paths.flatMap(filesOf).filter((path) => nameOf(path) === name)
  const other = code === undefined ? second : file
  if (other !== undefined)
    throw new CordonError('RESPONDER_FILE_TWICE', `there is another responder called "${name}"`, {
      where: { file: other, line: 1, column: 1 },
      hint: 'give this one another name: none is replaced, so that nobody wonders which one acts',
    })
  return file === undefined ? code : loadResponder(file, readFileSync(file, 'utf8'))
}

const nameOf = (path: string) => parse(path).name

function filesOf(path: string): readonly string[] {
  if (!existsSync(path))
    throw new CordonError('RESPONDER_FILE_MISSING', `no responder file or folder at ${path}`, {
      hint: 'mend responder_files in cordon.yml',
    })
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path)
    .filter((file) => /\.ya?ml$/i.test(file))
    .sort()
    .map((file) => join(path, file))
}
