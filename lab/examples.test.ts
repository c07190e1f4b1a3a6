import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { main } from '../src/cli/main.ts'
import { Inventory } from '../src/context/inventory.ts'
import { loadConfig } from '../src/engine/config.ts'
import { loadPolicy } from '../src/response/policy-file.ts'

const ROOT = join(import.meta.dirname, '..')

/** What `cordon replay` with the shipped rules prints. */
async function replay(...args: string[]) {
  const lines: string[] = []
  const io = {
    out: (...more: readonly string[]) => void lines.push(...more),
    err: () => {},
    terminal: false,
    style: (_: string, text: string) => text,
  }
  expect(await main(['node', 'cordon', 'replay', '--rules', join(ROOT, 'rules'), ...args], io)).toBe(0)
  return lines.map((line) => JSON.parse(line) as { rule: { name: string }; group: unknown; lines: number[] })
}

test('the example of a workstation loads, with its inventory and policy', () => {
  const config = loadConfig(join(ROOT, 'examples', 'workstation', 'cordon.yml'))
  const inventory = Inventory.parse(readFileSync(config.inventory!, 'utf8'), config.inventory!, 0)
  expect(inventory.deviceNamed(config.sources[0]!.device!)).toBeDefined()
  expect(loadPolicy(config.policy).grants.length).toBeGreaterThan(0)
})

test('of the example events one story is an alert, and two are none', async () => {
  const alerts = await replay(join(ROOT, 'examples', 'events.ndjson'))
  expect(alerts).toMatchObject([{ group: { 'device.id': 'laptop-19', 'gen_ai.agent.name': 'cowork' }, lines: [5, 7] }])
})

test.for([
  { without: ['clone', 'execve'], alerts: 0 },
  { without: ['clone'], alerts: 0 },
  { without: ['execve'], alerts: 1 },
  { without: [], alerts: 1 },
])('the recorded session without records of $without: $alerts alerts, as the guide says', async ({ without, alerts }) => {
  const recorded = readFileSync(join(import.meta.dirname, 'session', 'kernel-audit.log'), 'utf8')
  const events = Map.groupBy(recorded.split('\n'), (line) => /audit\(([^)]*)\)/.exec(line)?.[1])
  const left = [...events.values()].filter((lines) => !without.some((call) => lines.some((line) => line.includes(` SYSCALL=${call} `))))
  const folder = mkdtempSync(join(tmpdir(), 'cordon-'))
  try {
    writeFileSync(join(folder, 'audit.log'), left.flat().join('\n'))
    const found = await replay('--source', 'linux.auditd', join(folder, 'audit.log'))
    expect(found.filter(({ rule }) => rule.name === 'agent_sensitive_then_unlisted_egress')).toHaveLength(alerts)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.for(['README.md', 'docs/guides/your-own-agent.md', 'docs/guides/kernel-audit.md', 'examples/README.md', 'lab/session/README.md'])(
  'every link in %s leads somewhere',
  (page) => {
    const text = readFileSync(join(ROOT, page), 'utf8')
    const targets = [...text.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map((match) => match[1]!).filter((target) => !target.startsWith('http'))
    expect(targets.filter((target) => !existsSync(join(ROOT, dirname(page), target)))).toEqual([])
  },
)
