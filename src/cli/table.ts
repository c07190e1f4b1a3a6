import { stripVTControlCharacters } from 'node:util'
import type { Level } from '../sigma/ast.ts'

/** Columns as wide as their widest cell; colours do not count. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], empty: string): string[] {
  if (rows.length === 0) return [empty]
  const width = (text: string) => stripVTControlCharacters(text).length
  const widths = head.map((title, column) => Math.max(width(title), ...rows.map((row) => width(row[column] ?? ''))))
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat(widths[column]! - width(cell)))
      .join('  ')
      .trimEnd(),
  )
}

export function colourOf(level: Level | string): 'red' | 'yellow' | 'dim' {
  return level === 'critical' || level === 'high' ? 'red' : level === 'medium' ? 'yellow' : 'dim'
}
