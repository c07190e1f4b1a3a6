import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isNode, parseDocument } from 'yaml'

/** A case of a file in sigma/. */
export type Case<Values> = Values & {
  readonly about: string
  /** The text of a key's value as it stands in the file: a rule must have it exactly so. */
  source(key: string): string
}

/** The sections of a case file and their cases. Whole numbers are bigints, so that none loses a digit. */
export function readCases<Values>(name: string): [section: string, cases: Case<Values>[]][] {
  const text = readFileSync(join(import.meta.dirname, 'sigma', name), 'utf8')
  const document = parseDocument(text, { intAsBigInt: true })
  if (document.errors.length > 0) throw new Error(`${name}: ${document.errors[0]!.message}`)
  const sections = Object.entries(document.toJS() as Record<string, Case<Values>[]>)
  return sections.map(([section, cases]) => [
    section,
    cases.map((values, at) => {
      const source = (key: string) => {
        const node = document.getIn([section, at, key], true)
        if (!isNode(node) || !node.range) throw new Error(`${name}: ${values.about} has no ${key}`)
        return text.slice(node.range[0], node.range[1])
      }
      return { ...values, source }
    }),
  ])
}
