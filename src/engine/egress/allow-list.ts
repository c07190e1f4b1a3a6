import ipaddr from 'ipaddr.js'
import { CordonError, type Position } from '../../event/error.ts'
import type { Condition, DetectionRule, MatchNode, RuleSet } from '../../sigma/ast.ts'
import { isCalled } from '../rules/rules.ts'

/** Where the filters of a rule let connections go, so that what prevents them can be made of the same lists. */
export interface AllowList {
  readonly rule: string
  /** In CIDR notation, each written in one way; sorted, the fourth version before the sixth. */
  readonly networks: readonly string[]
  /** In lower case, sorted. `*` stands for any run of characters, as in Sigma. */
  readonly domains: readonly string[]
  /** When the first of these entries expires: from then on detection lets less pass. Milliseconds. */
  readonly until: number | undefined
  readonly left: readonly LeftOut[]
}

/** Something of a filter that is not in the list. */
export interface LeftOut {
  readonly text: string
  readonly why: string
  readonly where: Position
}

/**
 * What the filters of a rule except from it, as of `now` (milliseconds): destinations by address, network and name. What else they
 * say is in `left`; leaving it out can only make prevention stricter than detection.
 *
 * @param name id, name or title of a detection rule
 * @throws CordonError `RULE_UNKNOWN`
 */
export function allowListOf(rules: RuleSet, name: string, now: number): AllowList {
  const rule = rules.detections.find((candidate) => isCalled(candidate, name))
  if (rule === undefined) {
    throw new CordonError('RULE_UNKNOWN', `no detection rule called "${name}" is loaded`, {
      hint: 'name the rule whose filters are the allow-lists, with --rule',
    })
  }
  const networks = new Map<string, string>()
  const domains = new Set<string>()
  const left: LeftOut[] = []
  let until = Number.POSITIVE_INFINITY
  for (const filter of filtersOf(rule)) if (filter.op !== 'not') left.push({ ...wordsOf(filter), why: 'it says what is kept' })
  for (const alternative of filtersOf(rule).flatMap((filter) => (filter.op === 'not' ? alternatives(filter.operand) : []))) {
    const entry = entryOf(alternative)
    const expires = alternative.op === 'match' ? alternative.expires?.at : undefined
    if (entry === undefined) left.push({ ...wordsOf(alternative), why: 'it is more than a destination' })
    else if (expires !== undefined && expires <= now) left.push({ ...wordsOf(alternative), why: 'it has expired' })
    else {
      until = Math.min(until, expires ?? until)
      if ('domain' in entry) domains.add(entry.domain)
      else networks.set(sortKey(entry.network), entry.network)
    }
  }
  return {
    rule: rule.title,
    networks: [...networks].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, network]) => network),
    domains: [...domains].sort(),
    until: until === Number.POSITIVE_INFINITY ? undefined : until,
    left,
  }
}

/** What the filters of a rule add to its condition: mostly `not X`. */
function filtersOf({ condition, parts }: DetectionRule): readonly Condition[] {
  const titles = new Set(parts.filter(({ kind }) => kind === 'filter').map(({ title }) => title))
  return condition.op === 'and' ? condition.operands.filter(({ name }) => name !== undefined && titles.has(name)) : []
}

function alternatives(condition: Condition): readonly Condition[] {
  return condition.op === 'or' ? condition.operands.flatMap(alternatives) : [condition]
}

function entryOf(condition: Condition): { readonly network: string } | { readonly domain: string } | undefined {
  if (condition.op !== 'match') return undefined
  const { field, test } = condition
  if (field === 'destination.ip') {
    const network = test.kind === 'cidr' ? test.network : test.kind === 'text' ? literalOf(test.parts) : undefined
    return network === undefined ? undefined : networkOf(network)
  }
  if (field !== 'destination.domain' || test.kind !== 'text' || test.cased) return undefined
  const domain = test.parts.map((part) => (typeof part === 'string' ? part : part.wildcard)).join('')
  return /^[a-z0-9*_.-]+$/i.test(domain) ? { domain: domain.toLowerCase() } : undefined
}

function literalOf(parts: readonly unknown[]): string | undefined {
  const [only, ...others] = parts
  return typeof only === 'string' && others.length === 0 ? only : undefined
}

/** The network without the bits of a host, so that each has one form. */
function networkOf(text: string): { readonly network: string } | undefined {
  const [address = '', bits] = text.split('/')
  if (!ipaddr.isValid(address)) return undefined
  const { length } = ipaddr.parse(address).toByteArray()
  const prefix = Number(bits ?? 8 * length)
  const first =
    length === 4 ? ipaddr.IPv4.networkAddressFromCIDR(`${address}/${prefix}`) : ipaddr.IPv6.networkAddressFromCIDR(`${address}/${prefix}`)
  return { network: `${first}/${prefix}` }
}

function sortKey(network: string): string {
  const [address, prefix] = ipaddr.parseCIDR(network)
  const bytes = address.toByteArray()
  return [bytes.length, ...bytes, prefix].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

function wordsOf(condition: Condition): Pick<LeftOut, 'text' | 'where'> {
  const leaves = leavesOf(condition)
  return { text: leaves.map(({ text }) => text).join(condition.op === 'and' ? ' and ' : ', '), where: leaves[0]!.where }
}

function leavesOf(condition: Condition): readonly MatchNode[] {
  if (condition.op === 'match') return [condition]
  return condition.op === 'not' ? leavesOf(condition.operand) : condition.operands.flatMap(leavesOf)
}
