import type { Signal } from '../signal.ts'
import type { SilentSource } from '../unknown.ts'
import type { Entry } from './change.ts'
import type { Unit } from './units.ts'

/** A source that is silent for longer is given up, and missed by nobody. Milliseconds. */
const GIVEN_UP = 30 * 86_400_000
/** So many silent groups of one rule are named. */
const NAMED = 8

/** The groups of silence rules that were silent, as far as it may still matter to who relies on them (docs/decisions/0028). */
export class Silences {
  /** By unit, then group: oldest first. */
  private readonly known = new Map<string, Map<string, Entry[]>>()
  /** Signals held. */
  size = 0

  /** Takes a word of a silence rule. Answers the entry that is new, and those that mean something else now. */
  take(group: string, signal: Signal): { readonly added?: Entry; readonly changed: readonly Entry[] } {
    const entries = this.of(signal.unit, group)
    if (signal.silence === 'begins') {
      if (entries.some((entry) => entry.signal.eventId === signal.eventId)) return { changed: [] }
      const entry: Entry = { signal, counted: true, holds: false, anchor: false }
      this.restore(group, entry)
      return { added: entry, changed: [entry] }
    }
    const over = entries.filter((entry) => entry.signal.until === undefined && entry.signal.ingested < signal.ingested)
    for (const entry of over) entry.signal = { ...entry.signal, until: signal.ingested }
    return { changed: over }
  }

  /** Takes a checkpointed entry back. */
  restore(group: string, entry: Entry): void {
    this.of(entry.signal.unit, group).push(entry)
    this.size++
  }

  /**
   * The silent sources that touch a span of stamps, oldest first. One that lasts beyond the span has no end, because what is known of
   * that depends on when one asks.
   *
   * @param silence the rule that watches them, @param unit what heeds it, @param group of its window
   */
  within(silence: Unit, unit: Unit, group: readonly string[], from: number, to: number): readonly SilentSource[] {
    const { groupBy, name, title } = silence.rule
    const shared = sharedFields(silence, unit)
    const touching = [...(this.known.get(silence.key)?.values() ?? [])]
      .flat()
      .filter(
        ({ signal }) => signal.ingested <= to && endOf(signal) >= from && shared.every(([its, own]) => signal.group[its] === group[own]),
      )
      .map(({ signal }) => signal)
      .sort((a, b) => a.ingested - b.ingested || (JSON.stringify(a.group) < JSON.stringify(b.group) ? -1 : 1))
    return touching.slice(0, NAMED).map((signal, at) => ({
      why: 'silence',
      rule: name ?? title,
      group: Object.fromEntries(groupBy.map((field, place) => [field, signal.group[place]!])),
      from: signal.ingested,
      to: endOf(signal) > to ? null : endOf(signal),
      ...(at === NAMED - 1 && touching.length > NAMED ? { more: touching.length - NAMED } : {}),
    }))
  }

  /** Lets go of the silences of a unit that ended before a stamp. */
  evict(unit: string, horizon: number): readonly (readonly [group: string, Entry])[] {
    const groups = this.known.get(unit)
    const gone: (readonly [string, Entry])[] = []
    for (const [group, entries] of groups ?? []) {
      const kept = entries.filter(({ signal }) => endOf(signal) >= horizon)
      if (kept.length === entries.length && kept.length > 0) continue
      gone.push(...entries.filter((entry) => !kept.includes(entry)).map((entry) => [group, entry] as const))
      if (kept.length === 0) groups!.delete(group)
      else groups!.set(group, kept)
    }
    this.size -= gone.length
    return gone
  }

  private of(unit: string, group: string): Entry[] {
    const groups = this.known.get(unit) ?? new Map<string, Entry[]>()
    this.known.set(unit, groups)
    const entries = groups.get(group) ?? []
    groups.set(group, entries)
    return entries
  }
}

function endOf({ ingested, until = Number.POSITIVE_INFINITY }: Signal): number {
  return Math.min(until, ingested + GIVEN_UP)
}

/** The fields by which both are grouped, as places in the groups of the silence and of what heeds it. An alias is a name of its own. */
function sharedFields(silence: Unit, { rule }: Unit): readonly (readonly [its: number, own: number])[] {
  return silence.rule.groupBy.flatMap((field, its) => {
    const own = rule.aliases[field] === undefined ? rule.groupBy.indexOf(field) : -1
    return own < 0 ? [] : [[its, own] as const]
  })
}
