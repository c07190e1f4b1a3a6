import { canonicalJson } from '../../event/json.ts'
import type { Condition, MatchNode, Test } from '../../sigma/ast.ts'
import { fold } from './fold.ts'
import { countsAt, leafOf, type ValueTest } from './leaf.ts'
import { type Network, parseNetwork } from './network.ts'
import { parse } from './regex/compile.ts'
import { requiredLiterals } from './regex/literals.ts'
import { globLiterals, textForm } from './text.ts'
import { canonicalNumber } from './value.ts'

/** What a field's index finds by itself, for all rules at once. */
export type IndexProbe =
  | { readonly kind: 'literal'; readonly text: string; readonly start: boolean; readonly end: boolean }
  | { readonly kind: 'number'; readonly value: number | bigint }
  | { readonly kind: 'network'; readonly network: Network }
  | { readonly kind: 'present' }
  | { readonly kind: 'exists' }

/** How it is decided whether a predicate holds: by the index, or (`slow`) by a test that runs where a rule asks for it. */
export type Probe = IndexProbe | { readonly kind: 'slow'; readonly test: ValueTest }

/** One question about one field, shared by all rules that ask it. */
export interface Predicate {
  readonly id: number
  readonly field: string | null
  readonly probe: Probe
}

/** A rule's condition over predicates. */
export type Expression =
  | { readonly op: 'and' | 'or'; readonly operands: readonly Expression[] }
  | { readonly op: 'not'; readonly operand: Expression }
  | { readonly op: 'predicate'; readonly predicate: Predicate }

/** More would seldom spare another run of an expression. */
const MOST_GUARDS = 3

const PRESENT: IndexProbe = { kind: 'present' }

/** Turns conditions into expressions, giving equal questions one predicate. */
export class Lowering {
  readonly #predicates = new Map<string, Predicate>()

  /** @throws CordonError as leafOf: the rule cannot be run */
  lower(condition: Condition): Expression {
    switch (condition.op) {
      case 'match':
        return condition.expires === undefined ? this.#leaf(condition) : this.#expiring(condition, condition.expires.at)
      case 'not':
        return { op: 'not', operand: this.lower(condition.operand) }
      default:
        return { op: condition.op, operands: condition.operands.map((operand) => this.lower(operand)) }
    }
  }

  #expiring(node: MatchNode, at: number): Expression {
    const counts = this.#intern(node.field, { kind: 'slow', test: (_, event) => countsAt(node, event) }, `before ${at}`)
    return { op: 'and', operands: [this.#leaf(node), counts] }
  }

  /**
   * What the index cannot find by itself is guarded by what it can: an expression runs only where its longest literal stands,
   * a comparison only where the field has a value. A guard is implied by what it guards, so the meaning stays.
   */
  #leaf(node: MatchNode): Expression {
    const { test, field } = node
    switch (test.kind) {
      case 'text':
        return this.#text(node, test)
      case 'boolean':
        return this.#probe(field, { kind: 'literal', text: String(test.value), start: true, end: true })
      case 'number':
        return this.#probe(field, { kind: 'number', value: canonicalNumber(test.value) })
      case 'cidr':
        return this.#probe(field, { kind: 'network', network: parseNetwork(test.network) })
      case 'exists': {
        const exists = this.#probe(field, { kind: 'exists' })
        return test.value ? exists : { op: 'not', operand: exists }
      }
      case 'null':
        return this.#slow(node)
      case 'regex': {
        const required = requiredLiterals(parse(test)).slice(0, MOST_GUARDS)
        return this.#guarded(
          node,
          required.map((alternatives) => alternatives.map((text): IndexProbe => ({ kind: 'literal', text, start: false, end: false }))),
        )
      }
      default:
        return this.#guarded(node, [])
    }
  }

  #text(node: MatchNode, test: Extract<Test, { kind: 'text' }>): Expression {
    const form = textForm(test)
    if (form.form === 'anything') return this.#probe(node.field, PRESENT)
    if (form.form === 'literal') {
      const probe: IndexProbe = { kind: 'literal', text: fold(form.text), start: form.start, end: form.end }
      return test.cased ? this.#guarded(node, [[probe]]) : this.#probe(node.field, probe)
    }
    const [longest] = globLiterals(form.segments).toSorted((a, b) => b.text.length - a.text.length)
    return this.#guarded(node, longest === undefined ? [] : [[{ kind: 'literal', ...longest, text: fold(longest.text) }]])
  }

  /** The node's own test behind probes, one of each group of which must hold; where there are none, behind the field's having a value. */
  #guarded(node: MatchNode, groups: readonly (readonly IndexProbe[])[]): Expression {
    const guards = (groups.length === 0 ? [[PRESENT]] : groups).map((probes): Expression => {
      return { op: 'or', operands: probes.map((probe) => this.#probe(node.field, probe)) }
    })
    return { op: 'and', operands: [...guards, this.#slow(node)] }
  }

  #slow(node: MatchNode): Expression {
    return this.#intern(node.field, { kind: 'slow', test: leafOf(node).test }, canonicalJson(node.test))
  }

  #probe(field: string | null, probe: IndexProbe): Expression {
    return this.#intern(field, probe, canonicalJson(probe))
  }

  #intern(field: string | null, probe: Probe, key: string): Expression {
    const name = `${probe.kind === 'slow' ? 'slow' : 'probe'}\n${field ?? ''}\n${field === null}\n${key}`
    let predicate = this.#predicates.get(name)
    if (predicate === undefined) {
      predicate = { id: this.#predicates.size, field, probe }
      this.#predicates.set(name, predicate)
    }
    return { op: 'predicate', predicate }
  }
}
