import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Io } from '../../src/cli/io.ts'
import { main } from '../../src/cli/main.ts'

const CORDON = resolve(import.meta.dirname, '../../bin/cordon.mjs')

export interface Outcome {
  readonly code: number | null
  /** Lines of standard output. */
  readonly out: readonly string[]
  readonly err: string
}

/** What replay prints: docs/reference/cli.md. */
export interface Alert {
  readonly kind: string
  readonly id: string
  readonly rule: { readonly id: string; readonly name: string | null; readonly title: string; readonly level: string }
  readonly time: string | null
  readonly group: Readonly<Record<string, string>>
  readonly lines: readonly number[]
  readonly late: boolean
}

/** A folder of rules and events, and the command run in it. */
export class Workplace {
  readonly folder = mkdtempSync(join(tmpdir(), 'cordon-cli-'))

  constructor(files: Readonly<Record<string, string>> = {}) {
    for (const [name, text] of Object.entries(files)) this.write(name, text)
  }

  /** Answers the name, to be used as an argument. */
  write(name: string, text: string): string {
    mkdirSync(dirname(join(this.folder, name)), { recursive: true })
    writeFileSync(join(this.folder, name), text)
    return name
  }

  /** The command within this process: a hundred processes would take a minute. */
  async run(args: string): Promise<Outcome> {
    const out: string[] = []
    const err: string[] = []
    const io: Io = {
      out: (...lines) => void out.push(...lines),
      err: (...lines) => void err.push(...lines),
      terminal: false,
      style: (_, text) => text,
    }
    const before = process.cwd()
    process.chdir(this.folder)
    try {
      return { code: await main(['node', 'cordon', ...words(args)], io), out, err: err.join('\n') }
    } finally {
      process.chdir(before)
    }
  }

  /** The command as other programs run it. */
  spawn(args: string, input = '', env: NodeJS.ProcessEnv = {}): Outcome {
    const options = { cwd: this.folder, input, env: { ...process.env, ...env }, encoding: 'utf8' } as const
    const child = spawnSync(process.execPath, [CORDON, ...words(args)], options)
    return { code: child.status, out: child.stdout.split('\n').slice(0, -1), err: child.stderr }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true })
  }
}

export function alertsIn({ out }: Outcome): Alert[] {
  return out.map((line) => JSON.parse(line) as Alert)
}

/** Each alert's rule and lines. */
export const brief = (alerts: readonly Alert[]) => alerts.map(({ rule, lines }) => `${rule.title} ${lines}`)

const words = (args: string) => args.split(' ').filter(Boolean)

const rule = (number: number, name: string, detection: string, level: string) => `title: ${name}
id: 00000000-0000-4000-8000-00000000000${number}
name: ${name.toLowerCase()}
logsource: {category: test}
detection: ${detection}
level: ${level}
`

/** Rules that load, one that needs a list, one that does not load; events of which three are hits. */
export const FILES = {
  'rules/single.yml': rule(1, 'Single', '{s: {x: 1}, condition: s}', 'high'),
  'rules/listed.yml': rule(2, 'Listed', "{s: {agent|expand: '%names%'}, condition: s}", 'low'),
  'rules/deeper/count.yml': `${rule(3, 'Counted', '{s: {k|exists: true}, condition: s}', 'low')}---
title: Three
id: 00000000-0000-4000-8000-000000000004
correlation: {type: event_count, rules: [counted], group-by: [user], timespan: 10s, condition: {gte: 3}}
level: medium
`,
  'lists/names.yml': 'name: names\nentries: [{value: cowork, reason: r, owner: o}]\n',
  'broken/broken.yml': rule(5, 'Broken', '{s: {x|cotains: 1}, condition: s}', 'low'),
  'events.ndjson': `{"@timestamp":"2026-03-01T10:00:02Z","x":1}
{"@timestamp":"2026-03-01T10:00:01Z","x":1,"agent":"cowork"}
{"x":1}
{"@timestamp":"2026-03-01T10:00:01Z","y":1}
`,
  'bad.ndjson': '{"@timestamp":"2026-03-01T10:00:00Z","x":1}\nnot json\n[1]\n',
  'empty.ndjson': '',
} as const
