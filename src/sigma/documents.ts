import { withoutTestCases } from './agent-threat-tests.ts'
import { type Label, labelOf } from './attributes.ts'
import { didYouMean, fail, type Problems } from './problems.ts'
import { get, parseYaml, type YamlDocument, type YamlMap, type YamlNode, type YamlScalar } from './yaml.ts'

export interface RuleFile {
  readonly path: string
  readonly text: string
}

/** One YAML document of a rule file, told apart by the section that it has. What is wrong with it gathers in `problems`. */
export interface Document extends Label {
  readonly kind: 'detection' | 'correlation' | 'filter' | 'list'
  readonly file: string
  readonly root: YamlMap
  readonly problems: Problems
}

/** All documents of a set of files, and the diagnostics of what is no document at all. */
export interface Documents {
  readonly documents: readonly Document[]
  readonly unreadable: readonly Problems[]
}

const SECTIONS = { detection: 'detection', correlation: 'correlation', filter: 'filter', entries: 'list' } as const
const SECTION_KEYS = Object.keys(SECTIONS) as (keyof typeof SECTIONS)[]

/** Reads the files in their order. A path that is given twice is read once. */
export function readDocuments(files: readonly RuleFile[]): Documents {
  const documents: Document[] = []
  const unreadable: Problems[] = []
  for (const { path, text } of new Map(files.map((file) => [file.path, file])).values()) {
    for (const { root, problems } of readYaml(path, text)) {
      const document = root === undefined ? undefined : problems.attempt(() => ({ ...identify(root, path), file: path, problems }))
      if (document === undefined) unreadable.push(problems)
      else documents.push(document)
    }
  }
  return { documents, unreadable }
}

/** An Agent Threat Rule whose test cases are no YAML is one without test cases, as its own tools take it. */
function readYaml(path: string, text: string): readonly YamlDocument[] {
  const documents = parseYaml(path, text)
  const rest = documents.every(({ root }) => root !== undefined) ? undefined : withoutTestCases(text)
  const mended = rest === undefined ? [] : parseYaml(path, rest.text)
  if (rest === undefined || mended.some(({ root }) => root === undefined)) return documents
  for (const { problems } of mended)
    problems.warn('ATR-TESTS', { file: path, line: rest.line, column: 1 }, 'the test cases are no YAML, and are left out')
  return mended
}

function identify(root: YamlNode, path: string): Omit<Document, 'file' | 'problems'> {
  const shapes = 'a rule has "detection", a correlation "correlation", a filter "filter", a list "entries"'
  if (root.kind !== 'map') return fail('SIGMA-DOCUMENT-KIND', root, 'the document is not a map of keys', shapes)
  if (get(root, 'action') !== undefined) {
    return fail(
      'SIGMA-DOCUMENT-KIND',
      root,
      'Sigma no longer has "action" documents (global, reset, repeat)',
      'write each rule out, and correlations for what links them',
    )
  }
  const [key, second] = SECTION_KEYS.filter((candidate) => get(root, candidate) !== undefined)
  if (key === undefined) {
    const slip = root.entries.map((entry) => didYouMean(entry.key.text, SECTION_KEYS)).find((hint) => hint !== undefined)
    return fail('SIGMA-DOCUMENT-KIND', root, 'this is no rule, correlation, filter or list', slip ?? shapes)
  }
  if (second !== undefined)
    return fail(
      'SIGMA-DOCUMENT-KIND',
      get(root, second)!,
      `the document has both "${key}" and "${second}"`,
      'put one in a document of its own, after a line with ---',
    )
  return { kind: SECTIONS[key], root, ...labelOf(root, path) }
}

/**
 * Takes out the lists and filters that a later file replaces: by the list's name, the filter's id. Twice in one file is a
 * mistake, and so is a rule id in two documents: a site cannot override a rule.
 */
export function settleIdentities(documents: readonly Document[]): readonly Document[] {
  const latest = new Map<string, Document>()
  for (const document of documents) {
    const key = identityKey(document)
    const earlier = latest.get(key)
    const replaces = document.kind === 'filter' || document.kind === 'list'
    if (earlier !== undefined && !(replaces && earlier.file !== document.file)) {
      const { root, problems } = document
      const what = replaces ? `this ${document.kind}` : 'a rule with this id'
      const hint =
        get(root, 'id') === undefined && !replaces
          ? 'give each rule an id of its own'
          : replaces
            ? undefined
            : 'tune a rule with a filter or list; a copy needs an id of its own'
      problems.error(
        'SIGMA-ID-DUPLICATE',
        get(root, document.kind === 'list' ? 'name' : 'id') ?? root,
        `${what} is there already, at ${placeOf(earlier)}`,
        hint,
      )
    } else latest.set(key, document)
  }
  return documents.filter((document) => latest.get(identityKey(document)) === document)
}

function identityKey({ kind, id, name, title }: Document): string {
  if (kind === 'list') return `list ${name ?? title}`
  return `${kind === 'filter' ? 'filter' : 'rule'} ${id.toLowerCase()}`
}

function placeOf({ root: { position } }: Document): string {
  return `${position.file}:${position.line}`
}

/** Finds rules by id or name, also those that did not load, so that a reference to one can say so. */
export class RuleIndex {
  readonly #byReference = new Map<string, Document[]>()

  constructor(documents: readonly Document[]) {
    for (const document of documents) {
      if (document.kind !== 'detection' && document.kind !== 'correlation') continue
      for (const reference of new Set([document.id.toLowerCase(), document.name])) {
        if (reference === undefined) continue
        const same = this.#byReference.get(reference)
        if (same === undefined) this.#byReference.set(reference, [document])
        else same.push(document)
      }
    }
  }

  /** Every rule of that id (in any case) or name. */
  all(reference: string): readonly Document[] {
    return this.#byReference.get(reference) ?? this.#byReference.get(reference.toLowerCase()) ?? []
  }

  /** @throws CordonError (through `fail`) `SIGMA-REFERENCE-AMBIGUOUS` where several rules have the name */
  find(reference: YamlScalar): Document | undefined {
    const [document, second] = this.all(reference.text)
    if (document === undefined || second === undefined) return document
    return fail(
      'SIGMA-REFERENCE-AMBIGUOUS',
      reference,
      `two rules are named "${reference.text}": ${placeOf(document)} and ${placeOf(second)}`,
      'refer to the rule by its id',
    )
  }

  suggest(reference: YamlScalar): string | undefined {
    return didYouMean(reference.text, this.#byReference.keys())
  }
}
