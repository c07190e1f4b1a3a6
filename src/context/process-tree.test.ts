import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Draft } from '../event/event.ts'
import type { JsonObject } from '../event/json.ts'
import { agentPatterns, compileAgents } from './agents.ts'
import { type ProcessRow, ProcessTree, type TreeLimits } from './process-tree.ts'

const agentOf = compileAgents(agentPatterns(['cowork', 'claude', 'codex', 'gemini']))
const treeOf = (limits?: TreeLimits) => new ProcessTree(agentOf, limits)
const T = 1_790_000_000_000
const AGENT = { executable: '/usr/bin/node', args: ['node', '/opt/node_modules/@google/gemini-cli/bundle/gemini.js'] }

function draft(process: JsonObject, event: JsonObject = {}, device: string | null = 'd1'): Draft {
  return { time: T, logsource: [], ecs: { event, process, ...(device === null ? {} : { device: { id: device } }) } }
}
const start = { category: ['process'], type: ['start'] }
const fork = { ...start, action: 'fork' }
const end = { category: ['process'], type: ['end'] }

/** Feeds one event and answers its agent. */
const feed = (tree: ProcessTree, pid: number, parent: number, process: JsonObject, time = T, event: JsonObject = {}, device?: string) =>
  tree.apply(draft({ pid, parent: { pid: parent }, ...process }, event, device), time).agent

describe('the name of an agent process', () => {
  it.each<[JsonObject, string | undefined]>([
    [{ executable: '/usr/local/bin/claude' }, 'claude'],
    [{ executable: 'C:\\Program Files\\Codex.EXE' }, 'codex'],
    [{ executable: '/home/ana/.local/share/claude/versions/2.1.250' }, 'claude'],
    [{ name: 'cowork' }, 'cowork'],
    [
      {
        executable: '/usr/bin/node',
        args: ['node', '--max-old-space-size=1', '/opt/agents/node_modules/@google/gemini-cli/bundle/gemini.js', '-p'],
      },
      'gemini',
    ],
    [
      { executable: '/usr/bin/node', args: ['node', '-r', './hook.js', '/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js'] },
      'claude',
    ],
    [{ executable: '/usr/bin/node', command_line: '/usr/bin/node /usr/local/bin/codex exec' }, 'codex'],
    [{ executable: '/usr/bin/python3.12', args: ['python3.12', '-m', 'codex'] }, 'codex'],
    [{ executable: '/usr/bin/node', args: ['claude'] }, 'claude'],
    [{ executable: '/bin/bash', args: ['bash', '/usr/local/bin/gemini'] }, 'gemini'],
    [{ executable: '/usr/bin/cat', args: ['cat', '/home/ana/claude'] }, undefined],
    [{ executable: '/usr/bin/node', args: ['node', 'server.js', 'gemini'] }, undefined],
    [{ executable: '/bin/bash', args: ['bash', '-c', 'claude'] }, undefined],
    [{ executable: '/usr/bin/node', args: ['node', '/home/ana/codex-notes/x.js'] }, undefined],
    [{ executable: '/usr/bin/node', thread: { name: 'claude' } }, undefined],
    [{ executable: '/usr/bin/constructor' }, undefined],
    [{}, undefined],
  ])('%j is %j', (process, agent) => {
    expect(agentOf(process)).toBe(agent)
  })

  it('may be any that the list has', () => {
    expect(compileAgents(agentPatterns(['house-bot', 'constructor']))({ executable: '/opt/house-bot' })).toBe('house-bot')
  })
})

describe('the process tree', () => {
  it('names every descendant, whatever it runs, and nobody else', () => {
    const edge = fc.record({ parent: fc.nat(), runs: fc.constantFrom('/bin/sh', '/usr/bin/cat', '/usr/bin/curl') })
    fc.assert(
      fc.property(fc.array(edge, { maxLength: 30 }), (edges) => {
        const tree = treeOf()
        expect(feed(tree, 100, 1, AGENT)).toBe('gemini')
        expect(feed(tree, 200, 1, { executable: '/bin/bash' })).toBeUndefined()
        const processes = [
          { pid: 100, inside: true },
          { pid: 200, inside: false },
        ]
        edges.forEach(({ parent, runs }, index) => {
          const above = processes[parent % processes.length]!
          const pid = 1000 + index
          expect(feed(tree, pid, above.pid, { executable: runs })).toBe(above.inside ? 'gemini' : undefined)
          processes.push({ pid, inside: above.inside })
        })
        expect(tree.size).toBe(processes.filter(({ inside }) => inside).length)
      }),
    )
  })

  it('keeps devices apart, and needs none to know a process by its own name', () => {
    const tree = treeOf()
    feed(tree, 100, 1, AGENT, T, {}, 'd1')
    expect(feed(tree, 101, 100, {}, T, {}, 'd2')).toBeUndefined()
    expect(tree.apply(draft({ executable: '/bin/claude', pid: 5 }, {}, null), T)).toEqual({ agent: 'claude', changes: [] })
    expect(tree.apply(draft({ command_line: 'ls', parent: AGENT }), T).agent).toBe('gemini')
    expect(tree.apply({ time: T, logsource: [], ecs: {} }, T)).toEqual({ changes: [] })
  })

  it("keeps the identity over execve and when the parent ends, and gives the nearest agent's name", () => {
    const tree = treeOf()
    feed(tree, 100, 1, AGENT)
    expect(feed(tree, 101, 100, { executable: '/bin/sh' })).toBe('gemini')
    expect(feed(tree, 101, 100, { executable: '/usr/bin/curl' }, T + 5, { ...start, action: 'execve' })).toBe('gemini')
    feed(tree, 100, 1, AGENT, T + 10, end)
    expect(feed(tree, 101, 1, { executable: '/usr/bin/curl' }, T + 20)).toBe('gemini')
    expect(feed(tree, 102, 101, { executable: '/usr/bin/codex' }, T + 30)).toBe('codex')
    expect(feed(tree, 103, 102, { executable: '/bin/cat' }, T + 30)).toBe('codex')
  })

  it('does not give the name to another process that got the pid', () => {
    const started = treeOf()
    feed(started, 100, 1, AGENT)
    expect(feed(started, 100, 50, { executable: '/usr/bin/vim' }, T + 1000, fork)).toBeUndefined()
    expect(feed(started, 101, 100, { executable: '/usr/bin/vim' }, T + 2000)).toBeUndefined()

    const forked = treeOf()
    feed(forked, 100, 1, AGENT)
    expect(feed(forked, 100, 1, { executable: '/usr/bin/node' }, T + 1000, fork)).toBeUndefined()

    const ended = treeOf()
    feed(ended, 100, 1, AGENT)
    feed(ended, 100, 1, AGENT, T + 5_000, end)
    expect(feed(ended, 100, 1, { executable: '/usr/bin/vim' }, T + 60_000)).toBeUndefined()

    const unseen = treeOf()
    feed(unseen, 100, 1, AGENT)
    expect(feed(unseen, 100, 60, { executable: '/usr/bin/vim' }, T + 60_000)).toBeUndefined()

    const old = treeOf({ age: 1000 })
    feed(old, 100, 1, AGENT)
    expect(feed(old, 101, 100, {}, T + 1001 + 1000)).toBeUndefined()
  })

  it('still knows a process in events that come late', () => {
    const tree = treeOf()
    feed(tree, 100, 1, AGENT)
    feed(tree, 101, 100, { executable: '/usr/bin/curl' }, T + 100)
    feed(tree, 101, 100, {}, T + 200, end)
    expect(feed(tree, 101, 100, { executable: '/usr/bin/curl' }, T + 150)).toBe('gemini')
  })

  it('learns from what agents say of themselves', () => {
    const tree = treeOf()
    const telemetry = draft({ pid: 100, executable: '/usr/bin/node' })
    expect(tree.apply({ ...telemetry, ecs: { ...telemetry.ecs, gen_ai: { agent: { name: 'cowork' } } } }, T).agent).toBe('cowork')
    expect(feed(tree, 101, 100, { executable: '/bin/sh' })).toBe('cowork')
  })

  it('is the same when it is loaded from the rows that it gave out', () => {
    const step = fc.record({
      pid: fc.integer({ min: 1, max: 6 }),
      parent: fc.integer({ min: 1, max: 6 }),
      at: fc.nat(5_000),
      process: fc.constantFrom<JsonObject>(AGENT, { executable: '/bin/sh' }, { executable: '/usr/bin/codex' }, {}),
      event: fc.constantFrom<JsonObject>({}, start, fork, end),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.nat(40), (steps, cut) => {
        const kept = treeOf({ rows: 4 })
        let other = treeOf({ rows: 4 })
        const rows = new Map<string, ProcessRow>()
        steps.forEach(({ pid, parent, at, process, event }, index) => {
          if (index === cut) {
            other = treeOf({ rows: 4 })
            other.load([...rows.values()])
          }
          const input = draft({ pid, parent: { pid: parent }, ...process }, event)
          const { agent, changes } = kept.apply(input, T + at)
          expect(other.apply(input, T + at).agent).toBe(agent)
          for (const row of changes) {
            rows.delete(`${row.device} ${row.pid}`)
            if (row.agent !== null) rows.set(`${row.device} ${row.pid}`, row)
          }
        })
      }),
    )
  })

  it('is bounded: the row that acted longest ago goes, here and in the store', () => {
    const tree = treeOf({ rows: 2 })
    feed(tree, 100, 1, AGENT)
    feed(tree, 200, 1, { executable: '/usr/bin/codex' })
    feed(tree, 100, 1, AGENT, T + 1)
    const { changes } = tree.apply(draft({ pid: 300, executable: '/usr/bin/claude' }), T + 2)
    expect(changes.map(({ pid, agent }) => [pid, agent])).toEqual([
      [300, 'claude'],
      [200, null],
    ])
    expect(tree.size).toBe(2)
  })

  it('writes a busy process seldom', () => {
    const tree = treeOf()
    feed(tree, 100, 1, AGENT)
    let writes = 0
    for (let minute = 0; minute < 60; minute++)
      writes += tree.apply(draft({ pid: 100, parent: { pid: 1 }, ...AGENT }), T + minute * 60_000).changes.length
    expect(writes).toBeGreaterThan(0)
    expect(writes).toBeLessThanOrEqual(6)
  })
})
