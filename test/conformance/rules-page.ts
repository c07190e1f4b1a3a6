import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LogSource } from '../../src/event/event.ts'
import type { Rule, RuleSet } from '../../src/sigma/ast.ts'
import { alertingDetections, detectionsUnder, loadRuleSet } from '../../src/sigma/load.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PAGE = join(ROOT, 'docs', 'reference', 'rules.md')
const BEGIN = '<!-- rules: written by `node test/conformance/rules-page.ts` -->\n'
const END = '\n<!-- end of rules -->'
const LEVELS = ['critical', 'high', 'medium', 'low', 'informational']

/** The rules that come with Cordon; each knows its file. */
export function shippedRules(): RuleSet {
  const folder = join(ROOT, 'rules')
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.yml'))
  return loadRuleSet(paths.sort().map((path) => ({ path: `rules/${path}`, text: readFileSync(join(folder, path), 'utf8') })))
}

/** Those of them that alert, the most serious first. */
export function alertingRules(rules: RuleSet): readonly Rule[] {
  const all: readonly Rule[] = [...alertingDetections(rules), ...rules.correlations.filter(({ silent }) => silent !== true)]
  return all.toSorted(
    (one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level) || one.where.file.localeCompare(other.where.file),
  )
}

/** `ai_agent/file_access`, `broker/token/…`: the log sources of all that a rule looks at. */
export function logsourcesUnder(rule: Rule, rules: RuleSet): readonly string[] {
  return [...new Set(detectionsUnder(rule, rules).map(({ logsource }) => nameOf(logsource)))].sort()
}

function nameOf({ product, category, service }: LogSource): string {
  return [product ?? (category === undefined ? undefined : 'any'), category, service].filter((part) => part !== undefined).join('/')
}

/** The table of the page: a row for each rule that alerts. */
export function rulesTable(rules: RuleSet): string {
  const rows = alertingRules(rules).map((rule) =>
    [
      `[${rule.title}](../../${rule.where.file})`,
      rule.level,
      logsourcesUnder(rule, rules)
        .map((name) => `\`${name}\``)
        .join(', '),
      detectorOf(rule),
      rule.extension.response.map((request) => request.do).join(', '),
      rule.tags
        .filter((tag) => /\.(?:t\d|aml|asi)/.test(tag))
        .map(shortTag)
        .join(' '),
    ].join(' | '),
  )
  return ['| Rule | Level | Looks at | How | Asks for | Tags |', '|---|---|---|---|---|---|', ...rows.map((row) => `| ${row} |`)].join('\n')
}

function detectorOf(rule: Rule): string {
  if (rule.kind === 'detection') return 'one event'
  const { firstSeen, silence, gaps } = rule.extension
  const [fields, timespan] = [rule.fields.join(', '), lengthOf(rule.timespan)]
  if (firstSeen !== undefined) return `first_seen: ${fields}, not in the last ${timespan}, after learning for ${lengthOf(firstSeen.learn)}`
  if (silence === true) return `silence for ${timespan}`
  if (gaps !== undefined) return `gaps: ${fields} that do not come within ${lengthOf(gaps.wait)}`
  const bounds = rule.bounds.map(({ operator, value }) => `${operator} ${value}`).join(' ')
  const counted = fields === '' ? '' : ` of ${fields}`
  return `${rule.type}${counted}${bounds === '' ? '' : ` ${bounds}`} in ${timespan}`
}

function lengthOf(milliseconds: number): string {
  const minutes = milliseconds / 60_000
  return minutes % 1_440 === 0 ? `${minutes / 1_440} d` : minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`
}

/** ATT&CK and ATLAS by their number, OWASP's agentic risks by theirs. */
function shortTag(tag: string): string {
  return tag.slice(tag.indexOf('.') + 1).toUpperCase()
}

/** What stands between the marks of the page. */
export function writtenTable(): string {
  const page = readFileSync(PAGE, 'utf8')
  return page.slice(page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END))
}

if (import.meta.main) {
  const page = readFileSync(PAGE, 'utf8')
  const [head, rest] = [page.slice(0, page.indexOf(BEGIN) + BEGIN.length), page.slice(page.indexOf(END))]
  writeFileSync(PAGE, `${head}${rulesTable(shippedRules())}${rest}`)
}
