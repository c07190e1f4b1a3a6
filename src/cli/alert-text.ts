import type { AlertView } from '../engine/operations.ts'
import type { Io } from './io.ts'
import { colourOf } from './table.ts'

/** Why it fired, event by event. `line` is the event's place in the log. */
export function alertText(alert: AlertView, io: Io): string[] {
  const { rule, evidence, group, late, state, provisional } = alert
  const notes = [
    late && 'late',
    state === 'withdrawn' && 'withdrawn',
    provisional && 'provisional',
    alert.unknown && `unknown, because ${alert.unknown.map(({ text }) => text).join(', ')}`,
    alert.rebuilt && 'rebuilt',
    alert.expiredEntry && `only because ${alert.expiredEntry} expired`,
  ].filter(Boolean)
  const lines = [
    `${io.style(colourOf(rule.level), rule.level)} ${io.style('bold', rule.title)}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`,
    `  alert ${alert.id}  rule ${rule.id}`,
    `  ${alert.time}  ${groupText(group)}`.trimEnd(),
  ]
  for (const { line, time, facts } of evidence) {
    lines.push(`  line ${line}  ${time ?? 'no time'}`)
    for (const part of facts) {
      lines.push(`    ${io.style('dim', part.title)}`)
      for (const { selection, test, value } of part.facts)
        lines.push(`      ${selection === '' ? '' : `${selection}: `}${test}  ← ${value}`)
    }
  }
  return lines
}

/** `device.id=laptop-7 gen_ai.agent.name=claude`: what an alert is about. */
export function groupText(group: Readonly<Record<string, string>>): string {
  return Object.entries(group)
    .map(([field, value]) => `${field}=${value}`)
    .join(' ')
}
