import type { CorrelationRule } from '../../sigma/ast.ts'
import type { Signal } from '../signal.ts'
import type { Announcer } from './announcer.ts'
import type { Crowds } from './crowds.ts'
import type { Group } from './group.ts'
import type { KnownRules } from './known-rules.ts'
import { byIngestion } from './order.ts'
import type { Crowd } from './room.ts'
import { type Draft, stateRow, type UnitState } from './unit-state.ts'

/** Who has a place in the correlations of a partition, whose signals are judged as they come (docs/decisions/0029). */
export class Admission {
  private readonly rules: Pick<KnownRules, 'hold'>
  private readonly announcer: Pick<Announcer, 'announce' | 'full'>
  private readonly crowds: Crowds
  private readonly partition: number
  private readonly onRefused: (rule: CorrelationRule, signal: Signal) => void
  /** Units of which a door may close. */
  private readonly full = new Set<UnitState>()
  /** By rule: signals of groups for which there was no place, since the start. */
  readonly refused = new Map<string, number>()

  /** @param onRefused told of each signal of a group for which there was no place */
  constructor(
    rules: Pick<KnownRules, 'hold'>,
    announcer: Pick<Announcer, 'announce' | 'full'>,
    crowds: Crowds,
    partition: number,
    onRefused: (rule: CorrelationRule, signal: Signal) => void,
  ) {
    this.rules = rules
    this.announcer = announcer
    this.crowds = crowds
    this.partition = partition
    this.onRefused = onRefused
  }

  admits(state: UnitState, key: string, signal: Signal): boolean {
    const admitted = state.doors.admits(key, signal)
    if (!admitted) this.refuse(state, [signal])
    return admitted
  }

  /** A signal was taken in. */
  note(state: UnitState, key: string, signal: Signal, clock: number): void {
    if (state.doors.note(key, signal, clock)) this.full.add(state)
  }

  /** Counts signals of groups that had no place. */
  refuse({ unit: { rule } }: UnitState, signals: readonly Signal[]): void {
    this.refused.set(rule.id, (this.refused.get(rule.id) ?? 0) + signals.length)
    for (const signal of signals) this.onRefused(rule, signal)
  }

  /** The doors that had closed at a checkpoint, and have not opened again by the clock. */
  restore(units: ReadonlyMap<string, UnitState>, clock: number): void {
    for (const crowd of this.crowds.all) {
      const state = units.get(crowd.unit)
      if (crowd.partition === this.partition && crowd.to >= clock && state?.courses === undefined) state?.doors.restore(crowd)
    }
  }

  /** Closes doors, and gives up what was taken in meanwhile of groups that came after they closed. */
  settle(clock: number, offset: number, outcome: Draft): void {
    for (const state of this.full) {
      const closings = state.doors.settle(clock)
      if (!state.doors.isFull) this.full.delete(state)
      if (closings.length === 0) continue
      for (const { last, ...crowd } of closings) {
        this.crowds.take(this.partition, [crowd])
        const signals = [...state.groups.get(last.group)!.ofEvents()].map(({ signal }) => signal)
        const [first] = signals.filter(({ ingested }) => ingested === last.ingested).sort(byIngestion)
        outcome.revisions.push(this.announcer.full(state.unit, first!, crowd, crowd.to, offset))
      }
      for (const [key, group] of state.groups) this.giveUp(state, key, group, offset, outcome)
    }
  }

  /** When there was no place here for further groups of correlations of a depth. */
  crowdsOf(depth: number, units: ReadonlyMap<string, UnitState>): readonly Crowd[] {
    const own = this.crowds.all.filter(({ unit, partition }) => partition === this.partition && units.get(unit)?.unit.depth === depth)
    return own.map(({ unit, share, from, to }) => ({ unit, share, from, to }))
  }

  private giveUp(state: UnitState, key: string, group: Group, offset: number, outcome: Draft): void {
    const refused = [...group.ofEvents()].filter(({ signal }) => !state.doors.admits(key, signal))
    if (refused.length === 0) return
    const insertion = group.refuse(refused.sort((a, b) => byIngestion(a.signal, b.signal)))
    if (group.size === 0) state.groups.delete(key)
    const { revisions, chained } = this.announcer.announce(state.unit, group, insertion, offset)
    outcome.revisions.push(...revisions)
    outcome.chained.push(...chained)
    for (const entry of insertion.changed) if (!refused.includes(entry)) outcome.changed.push(stateRow(state, key, entry))
    for (const entry of refused) {
      this.rules.hold(entry.signal, -1)
      outcome.evicted.push(stateRow(state, key, entry))
    }
    this.refuse(
      state,
      refused.map(({ signal }) => signal),
    )
  }
}
