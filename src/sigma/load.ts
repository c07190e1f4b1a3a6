import type { LogSource } from '../event/event.ts'
import { digest } from '../event/id.ts'
import { AGENT_PRODUCT } from '../event/logsource.ts'
import { isAgentThreatRule, readAgentThreatRule, type TranslatedRule } from './agent-threat-rule.ts'
import type { Condition, CorrelationRule, DetectionRule, Rule, RulePart, RuleSet } from './ast.ts'
import { readAttributes, readLogSource, section } from './attributes.ts'
import { readCorrelation, referencesOf, type WrittenCorrelation } from './correlation.ts'
import { checkCourse } from './course.ts'
import { combine, compileDetection, type DetectionContext, leaves } from './detection.ts'
import { type Document, type RuleFile, RuleIndex, readDocuments, settleIdentities } from './documents.ts'
import { readAccounts, readExtension } from './extension.ts'
import { compileFilter, covers, type Filter } from './filter.ts'
import { filterPart, firesOnLess, hashOf, listPart, rulePart, strictPart } from './fingerprint.ts'
import { lintCorrelation, lintDetection, lintFilter, lintList, lintRule } from './lint.ts'
import { type Account, AGENTS_LIST, readList, type ValueList } from './list.ts'
import type { Expiry } from './modifiers.ts'
import { postureCondition } from './posture.ts'
import { fail, type Problems } from './problems.ts'
import { asSilence, checkReliance, reliedOn } from './reliance.ts'
import type { YamlScalar } from './yaml.ts'

/** `now` (milliseconds) is for lint alone: it warns of entries that have expired or soon will. Loading never asks the clock. */
export interface LoadOptions {
  readonly now?: number
}

/**
 * Loads rules, correlations, filters and lists. What does not load is left out, with its diagnostics, and never stops the rest.
 * Of two lists with one name, or filters with one id, the later file's counts: a site's files come after the shipped ones.
 */
export function loadRuleSet(files: readonly RuleFile[], options: LoadOptions = {}): RuleSet {
  const { documents: read, unreadable } = readDocuments(files)
  const documents = settleIdentities(read)
  const ofKind = (kind: Document['kind']) => documents.filter((document) => document.kind === kind)
  const lists = loadLists(ofKind('list'), options)
  const index = new RuleIndex(documents)
  const filters = ofKind('filter').flatMap((document) => loadFilter(document, lists, index, options) ?? [])
  const silent = silenced(ofKind('correlation'), index)
  const detections = new Map(
    ofKind('detection').flatMap((document) => entry(document, loadDetection(document, lists, filters, silent.has(document)))),
  )
  for (const filter of filters) lintTargets(filter, detections, index)
  const correlations = loadCorrelations(ofKind('correlation'), index, detections, silent)
  const problems = [...read.map((document) => document.problems), ...unreadable]
  const rules = read.filter(({ kind }) => kind === 'detection' || kind === 'correlation')
  return {
    detections: [...detections.values()],
    correlations,
    lists: [...lists].flatMap(([name, list]) => (list === undefined ? [] : [{ name, values: list.entries.map(({ value }) => value) }])),
    diagnostics: inOrder(files, problems),
    refused: rules.filter((document) => document.problems.failed).length + unreadable.length,
    hash: digest(files.map(({ text }) => `${text.length}:${text}`).join('')),
  }
}

/** The detection rules under a rule: itself, or those that a correlation comes down to. */
export function detectionsUnder(rule: Rule, rules: RuleSet): readonly DetectionRule[] {
  if (rule.kind === 'detection') return [rule]
  const under = rules.correlations.filter(({ id }) => rule.rules.includes(id)).flatMap((child) => detectionsUnder(child, rules))
  return [...new Set([...rules.detections.filter(({ id }) => rule.rules.includes(id)), ...under])]
}

/** The correlations under a rule: itself, if it is one, and those that it is over. */
export function correlationsUnder(rule: Rule, rules: RuleSet): readonly CorrelationRule[] {
  if (rule.kind === 'detection') return []
  const under = rules.correlations.filter(({ id }) => rule.rules.includes(id)).flatMap((child) => correlationsUnder(child, rules))
  return [...new Set([rule, ...under])]
}

/** The detection rules that alert by themselves: not those that only feed correlations, nor those that are switched off. */
export function alertingDetections(rules: RuleSet): readonly DetectionRule[] {
  return rules.detections.filter((rule) => rule.silent !== true && rule.extension.mode !== 'off')
}

const entry = <T>(document: Document, rule: T | undefined): [Document, T][] => (rule === undefined ? [] : [[document, rule]])

function inOrder(files: readonly RuleFile[], problems: readonly Problems[]): RuleSet['diagnostics'] {
  const order = new Map(files.map(({ path }, index) => [path, index]))
  const found = problems.flatMap((problem) => problem.found)
  return found.sort(
    (one, other) =>
      order.get(one.where.file)! - order.get(other.where.file)! ||
      one.where.line - other.where.line ||
      one.where.column - other.where.column,
  )
}

/** Lists by name; undefined for one that did not load. */
type Lists = ReadonlyMap<string, ValueList | undefined>

function loadLists(documents: readonly Document[], { now }: LoadOptions): Lists {
  return new Map(
    documents.map((document) => {
      const { root, problems, name, title } = document
      const list = readList(root, problems)
      if (list !== undefined) lintList(list, now, problems)
      return [name ?? title, problems.failed ? undefined : list]
    }),
  )
}

/** What a document's searches may use, and, in `used`, which lists they did. */
function contextOf(
  lists: Lists,
  owner: string,
  accounts?: ReadonlyMap<string, Account>,
): DetectionContext & { readonly used: ReadonlySet<string> } {
  const used = new Set<string>()
  const expiry = (list: string, value: string, at: number | undefined): Expiry | undefined =>
    at === undefined ? undefined : { at, list, value }
  return {
    used,
    listNames: lists.keys(),
    expiryOf: (literal) => expiry(owner, literal, accounts?.get(literal)?.expires),
    fill(name, at) {
      if (!lists.has(name)) return undefined
      const list = lists.get(name)
      if (list === undefined)
        return fail('SIGMA-PLACEHOLDER-UNRESOLVED', at, `the list "${name}" did not load`, 'mend the list; its errors are above or below')
      used.add(name)
      return list.entries.map(({ value, expires }) => ({ text: value, expires: expiry(name, value, expires) }))
    },
  }
}

/** A filter with what it brings to the rules it is for. */
interface LoadedFilter extends Filter {
  readonly document: Document
  /** The rules that it names, as far as they were found. */
  readonly targets: 'any' | ReadonlySet<Document>
  readonly part: RulePart
  /** Lists that decide when it keeps an event; the entries of a filter that only excludes are among its exclusions. */
  readonly lists: ReadonlySet<string>
}

function loadFilter(document: Document, lists: Lists, index: RuleIndex, { now }: LoadOptions): LoadedFilter | undefined {
  const { root, problems, title } = document
  readAttributes(root, document, problems)
  const accounts = readAccounts(root, problems)
  const context = contextOf(lists, title, accounts)
  const filter = compileFilter(root, document, context, problems)
  if (filter === undefined) return undefined
  const targets =
    filter.rules === 'any'
      ? 'any'
      : new Set(filter.rules.flatMap((reference) => problems.attempt(() => targetOf(reference, index, problems)) ?? []))
  lintFilter(root, filter, accounts, now, problems)
  if (problems.failed) return undefined
  const part = filterPart(filter)
  return { ...filter, document, targets, part, lists: part.exclusions === undefined ? context.used : new Set() }
}

function targetOf(reference: YamlScalar, index: RuleIndex, problems: Problems): Document | undefined {
  const target = index.find(reference)
  if (target === undefined)
    problems.warn('LINT-FILTER-UNKNOWN-RULE', reference, `no rule has the id or name "${reference.text}"`, index.suggest(reference))
  if (target?.kind === 'correlation') {
    return fail(
      'SIGMA-FILTER-TARGET',
      reference,
      `"${reference.text}" is a correlation, and filters are for the detection rules under it`,
      'name those rules instead',
    )
  }
  return target
}

/** A filter for another log source than the rule that it names is an exception that is not made. */
function lintTargets(
  { targets, logsource, rules, document }: LoadedFilter,
  detections: ReadonlyMap<Document, DetectionRule>,
  index: RuleIndex,
): void {
  if (targets === 'any' || rules === 'any') return
  for (const reference of rules) {
    const rule = detections.get(index.find(reference)!)
    if (rule === undefined || covers(logsource, rule.logsource)) continue
    document.problems.warn(
      'LINT-FILTER-LOGSOURCE',
      reference,
      `the filter does not apply to "${reference.text}": the rule has another log source`,
      'make the logsource of both agree, or leave out what differs',
    )
  }
}

/** A detection rule as it is written, in whichever language. */
interface WrittenRule extends TranslatedRule {
  /** Lists that its searches use. */
  readonly lists: ReadonlySet<string>
  readonly partial?: true
}

function loadDetection(document: Document, lists: Lists, filters: readonly LoadedFilter[], silent: boolean): DetectionRule | undefined {
  const { root } = document
  const written = isAgentThreatRule(root) ? readForeign(document) : readRule(document, lists)
  if (written === undefined) return undefined
  const { attributes, logsource, extension } = written
  const applied = filters.filter(
    (filter) => (filter.targets === 'any' || filter.targets.has(document)) && covers(filter.logsource, logsource),
  )
  const { posture } = extension
  const condition = combine('and', [
    written.condition,
    ...(posture === undefined ? [] : [postureCondition(posture, root.position)]),
    ...applied.map((filter) => filter.condition),
  ])
  const agents = isAboutAgents(logsource, condition) && lists.get(AGENTS_LIST) !== undefined ? [AGENTS_LIST] : []
  const used = new Set([...written.lists, ...applied.flatMap((filter) => [...filter.lists]), ...agents])
  const parts = [written.part, ...applied.map((filter) => filter.part), ...[...used].map((name) => listPart(lists.get(name)!))]
  const expiries = leaves(condition).flatMap(({ expires }) =>
    expires === undefined ? [] : [{ list: expires.list, value: expires.value, expires: expires.at }],
  )
  return {
    kind: 'detection',
    ...attributes,
    extension,
    where: root.position,
    parts,
    hash: hashOf(parts),
    logsource,
    condition,
    filters: applied.map(({ id }) => id),
    expiries: [...new Map(expiries.map((item) => [`${item.list}\0${item.value}`, item])).values()],
    ...(silent ? { silent } : {}),
    ...(written.partial ? { partial: true } : {}),
  }
}

/** Whose acts these are is written into the events by the list of agents: it is a part of a rule that asks, whether or not its searches use it. */
function isAboutAgents({ product }: LogSource, condition: Condition): boolean {
  return product === AGENT_PRODUCT || leaves(condition).some(({ field }) => field === 'gen_ai.agent.name')
}

function readRule(document: Document, lists: Lists): WrittenRule | undefined {
  const { root, problems } = document
  const attributes = readAttributes(root, document, problems)
  const logsource = problems.attempt(() => readLogSource(root))
  const extension = readExtension(root, 'detection', problems)
  const body = problems.attempt(() => section(root, 'detection'))
  const context = contextOf(lists, document.title)
  const detection = body === undefined ? undefined : compileDetection(body, context, problems)
  if (problems.failed || body === undefined || detection === undefined || logsource === undefined || extension === undefined)
    return undefined
  lintRule(root, extension, problems)
  lintDetection(body, detection, problems)
  return { attributes, logsource, extension, condition: detection.condition, part: rulePart(root, document), lists: context.used }
}

function readForeign(document: Document): WrittenRule | undefined {
  const rule = readAgentThreatRule(document)
  return rule && { ...rule, lists: new Set(), partial: true }
}

/** The rules that a correlation without `generate` refers to. One that does not load counts too: they still are its parts. */
function silenced(correlations: readonly Document[], index: RuleIndex): ReadonlySet<Document> {
  const written = correlations.map(({ root }) => referencesOf(root)).filter(({ generate }) => !generate)
  return new Set(written.flatMap(({ references }) => references.flatMap((reference) => index.all(reference))))
}

/** Each after those that it refers to. */
function loadCorrelations(
  documents: readonly Document[],
  index: RuleIndex,
  detections: ReadonlyMap<Document, DetectionRule>,
  silent: ReadonlySet<Document>,
): readonly CorrelationRule[] {
  const loaded = new Map<Document, CorrelationRule | undefined>()
  const ruleOf = (document: Document): Rule | undefined => {
    if (document.kind === 'detection') return detections.get(document)
    if (!loaded.has(document)) {
      const rule = loadCorrelation(document, index, silent.has(document), ruleOf)
      loaded.set(document, rule)
    }
    return loaded.get(document)
  }
  for (const document of documents) ruleOf(document)
  return [...loaded.values()].filter((rule) => rule !== undefined)
}

function loadCorrelation(
  document: Document,
  index: RuleIndex,
  silent: boolean,
  ruleOf: (document: Document) => Rule | undefined,
): CorrelationRule | undefined {
  const { root, problems } = document
  const attributes = readAttributes(root, document, problems)
  const extension = readExtension(root, 'correlation', problems)
  const written = readCorrelation(root, problems)
  const children = written?.rules.map((reference) =>
    problems.attempt(() => {
      const child = childOf(reference, document, index, ruleOf)
      if (child.kind === 'correlation') requireFields(reference, child, written)
      return child
    }),
  )
  const relied = reliedOn(root).map((reference) =>
    problems.attempt(() => asSilence(reference, childOf(reference, document, index, ruleOf))),
  )
  if (problems.failed || extension === undefined || written === undefined) return undefined
  const rules = children as Rule[]
  const silences = relied as CorrelationRule[]
  const under = rules.flatMap((child) => child.parts)
  const below = firesOnLess({ ...written, extension }) ? under : under.map(strictPart)
  const parts = distinct([rulePart(root, document), ...below, ...silences.flatMap((silence) => silence.parts)])
  const { type, groupBy, timespan, bounds, fields, expression, generate } = written
  const rule: CorrelationRule = {
    kind: 'correlation',
    ...attributes,
    extension,
    where: root.position,
    parts,
    hash: hashOf(parts),
    type,
    rules: rules.map(({ id }) => id),
    groupBy,
    aliases: aliasesOf(written, rules),
    timespan,
    bounds,
    fields,
    expression,
    ...(silences.length === 0 ? {} : { reliesOn: silences.map(({ id }) => id) }),
    generate,
    ...(silent ? { silent } : {}),
  }
  checkCourse(root, rule, rules, problems)
  checkReliance(root, rule, rules, silences, problems)
  if (problems.failed) return undefined
  lintCorrelation(root, rule, rules, problems)
  return rule
}

function childOf(reference: YamlScalar, parent: Document, index: RuleIndex, ruleOf: (document: Document) => Rule | undefined): Rule {
  const child = index.find(reference)
  if (child === undefined)
    return fail('SIGMA-REFERENCE-UNKNOWN', reference, `no rule has the id or name "${reference.text}"`, index.suggest(reference))
  if (reaches(child, parent, index, new Set()))
    return fail('SIGMA-REFERENCE-CYCLE', reference, `"${reference.text}" leads back to this correlation`)
  return (
    ruleOf(child) ??
    fail('SIGMA-REFERENCE-REFUSED', reference, `the rule "${reference.text}" did not load`, 'mend that rule; its errors are above or below')
  )
}

/** An alert of a correlation has no fields but those that it is grouped by. */
function requireFields(reference: YamlScalar, child: CorrelationRule, { groupBy, aliases, fields }: WrittenCorrelation): void {
  for (const name of new Set([...groupBy, ...fields])) {
    const field = aliases.get(name)?.find(({ rule }) => rule.text === reference.text)?.field ?? name
    if (child.groupBy.includes(field)) continue
    const grouped = child.groupBy.length === 0 ? 'not grouped by anything' : `grouped by ${child.groupBy.join(', ')}`
    fail(
      'SIGMA-CORRELATION-CHAIN',
      reference,
      `"${reference.text}" is a correlation ${grouped}, so its alerts have no ${field}`,
      `add ${field} to its group-by, or say with an alias which of its fields stands for ${name}`,
    )
  }
}

function reaches(from: Document, to: Document, index: RuleIndex, seen: Set<Document>): boolean {
  if (from === to) return true
  if (from.kind !== 'correlation' || seen.has(from)) return false
  seen.add(from)
  const references = [...referencesOf(from.root).references, ...reliedOn(from.root).map(({ text }) => text)]
  return references.some((reference) => index.all(reference).some((next) => reaches(next, to, index, seen)))
}

function aliasesOf({ aliases, rules: references }: WrittenCorrelation, rules: readonly Rule[]): CorrelationRule['aliases'] {
  const idOf = new Map(references.map(({ text }, at) => [text, rules[at]!.id]))
  return Object.fromEntries(
    [...aliases].map(([alias, fields]) => [alias, Object.fromEntries(fields.map(({ rule, field }) => [idOf.get(rule.text)!, field]))]),
  )
}

/** Each part once: as the strictest of those has it that bring it. */
function distinct(parts: readonly RulePart[]): RulePart[] {
  const strictLast = [
    ...parts.filter(({ exclusions }) => exclusions !== undefined),
    ...parts.filter(({ exclusions }) => exclusions === undefined),
  ]
  const strictest = new Map(strictLast.map((part) => [`${part.kind} ${part.id}`, part]))
  return [...new Map(parts.map(({ kind, id }) => [`${kind} ${id}`, strictest.get(`${kind} ${id}`)!])).values()]
}
