import { isMap, isSeq, parseDocument, type YAMLMap } from 'yaml'
import { CordonError } from '../event/error.ts'
import { formatTime } from '../event/time.ts'
import type { Rule, RulePart } from '../sigma/ast.ts'
import type { Grant, Pin } from './policy.ts'

/** What changed in a rule since its grant. Harmless is only what makes it fire on less: an added exclusion. */
export interface GrantChange {
  readonly part: Pick<RulePart, 'kind' | 'id' | 'title'>
  readonly text: string
  readonly harmless: boolean
}

/** Compares a grant's pins with the rule as it is loaded now. Nothing pinned means that everything is new. */
export function diffGrant(grant: Pick<Grant, 'pinned'>, rule: Rule): readonly GrantChange[] {
  const now = new Map(rule.parts.map((part) => [keyOf(part), part]))
  const pinned = new Map(grant.pinned.map((pin) => [keyOf(pin), pin]))
  return [
    ...grant.pinned.filter((pin) => !now.has(keyOf(pin))).map((pin) => change(pin, 'is gone')),
    ...rule.parts.flatMap((part) => {
      const pin = pinned.get(keyOf(part))
      return pin === undefined ? [added(part, grant.pinned.length > 0)] : compare(pin, part)
    }),
  ]
}

/**
 * The text of grants.yml with every grant of the rule pinned to what the rule is now; comments and all else stay.
 *
 * @param now milliseconds since the epoch
 * @throws CordonError `POLICY_INVALID` if the text is not YAML, `POLICY_NO_GRANT` if it grants the rule nothing
 */
export function renewGrant(fileText: string, rule: Rule, by: string, now: number): string {
  const document = parseDocument(fileText)
  const error = document.errors[0]
  if (error !== undefined) throw new CordonError('POLICY_INVALID', error.message)
  const list = document.get('grants', true)
  const grants = isSeq(list) ? list.items.filter((item): item is YAMLMap => isMap(item) && item.get('rule') === rule.id) : []
  if (grants.length === 0) {
    throw new CordonError('POLICY_NO_GRANT', `there is no grant for "${rule.title}" to renew`, {
      hint: `add one under grants:\n  - rule: ${rule.id}\n    verbs: [${rule.extension.response.map((request) => request.do).join(', ')}]\n    mode: shadow`,
    })
  }
  for (const grant of grants) {
    grant.set('granted_by', by)
    grant.set('granted_at', formatTime(now))
    grant.set('pinned', document.createNode(rule.parts.map(pinOf)))
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: false })
}

function pinOf({ kind, id, title, hash, exclusions }: RulePart): Pin {
  return { kind, id, title, hash, ...(exclusions === undefined ? {} : { exclusions }) }
}

function compare(pin: Pin, part: RulePart): GrantChange[] {
  if (pin.hash !== part.hash) return [change(part, 'changed')]
  // A filter that only excludes is hashed without its exclusions; one that began or ceased to be such is another filter.
  if ((pin.exclusions === undefined) !== (part.exclusions === undefined)) return [change(part, 'changed')]
  const before = new Set(pin.exclusions)
  const after = new Set(part.exclusions)
  return [
    ...[...before].filter((exclusion) => !after.has(exclusion)).map((exclusion) => change(part, `no longer excludes ${exclusion}`)),
    ...[...after].filter((exclusion) => !before.has(exclusion)).map((exclusion) => change(part, `also excludes ${exclusion}`, true)),
  ]
}

function added(part: RulePart, anythingPinned: boolean): GrantChange {
  if (!anythingPinned) return change(part, 'is not pinned yet')
  return part.exclusions === undefined
    ? change(part, 'is new')
    : change(part, `is new and only excludes ${part.exclusions.join(', ')}`, true)
}

function change(part: Pick<RulePart, 'kind' | 'id' | 'title'>, what: string, harmless = false): GrantChange {
  return { part: { kind: part.kind, id: part.id, title: part.title }, text: `${part.kind} "${part.title}" ${what}`, harmless }
}

const keyOf = (part: Pick<RulePart, 'kind' | 'id'>) => `${part.kind}:${part.id}`
