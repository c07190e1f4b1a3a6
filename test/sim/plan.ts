import { depthOf, type Rules } from './model/rules.ts'
import { type Workload, workloadOf } from './model/workload.ts'
import type { LogSettings } from './world/logs.ts'
import { CALM, type Odds } from './world/network.ts'
import type { Node, Role, World } from './world/node.ts'
import type { Random } from './world/random.ts'

export interface NodePlan {
  readonly name: string
  readonly roles: ReadonlySet<Role>
  readonly skew: number
}

/** Something that goes wrong, or that an operator does. */
export interface Fault {
  readonly at: number
  readonly label: string
  strike(fleet: { readonly world: World; readonly nodes: readonly Node[] }): void
}

/** Everything about a run that is decided before it begins. */
export interface Plan {
  readonly logs: LogSettings
  readonly nodes: readonly NodePlan[]
  readonly odds: Odds
  /** How long it takes at most until a consumer looks for what is new. Milliseconds. */
  readonly polling: number
  /** Checkpoints are real files, which takes time. */
  readonly onDisk: boolean
  /** Milliseconds between two generations of the state. */
  readonly generationEvery: number
  /** How likely a node dies at a crash point. */
  readonly crashAtPoint: number
  readonly workload: Workload
  readonly faults: readonly Fault[]
  /** When faults and events end, and how long everything then takes at most to come to rest. */
  readonly end: number
  readonly settle: number
}

const ALL: readonly Role[] = ['ingest', 'match', 'correlate', 'respond']

export function randomPlan(random: Random, start: number): Plan {
  const embedded = random.chance(0.25)
  const end = start + random.int(25_000, 45_000)
  const nodes = embedded ? [{ name: 'n0', roles: new Set(ALL), skew: random.int(-5_000, 5_000) }] : randomNodes(random)
  const workload = workloadOf(random.fork('workload'), { start: start + 2_000, end: end - 3_000 })
  const rough = random.chance(0.8)
  return {
    logs: { partitions: random.int(1, 4), embedded },
    nodes,
    odds: rough ? { refused: 0.02, unanswered: 0.02, torn: embedded ? 0 : 0.02, slow: 0.02 } : CALM,
    polling: random.pick([5, 50, 200]),
    onDisk: random.chance(0.1),
    generationEvery: random.pick([1_500, 5_000, 20_000]),
    crashAtPoint: rough ? random.pick([0, 0.01, 0.05]) : 0,
    workload,
    faults: rough ? randomFaults(random, nodes, { embedded, start: start + 1_000, end }) : [],
    end,
    settle: 12_000 + 1_000 * Math.max(...workload.bundles.map(timeToClose)),
  }
}

/** How long after an event everything that it can decide is closed: what is said of a depth is complete two of its G later. Seconds. */
function timeToClose({ correlations }: Rules): number {
  const longest = Math.max(...correlations.map(({ timespan, grace }) => timespan + grace))
  return (2 * Math.max(...correlations.map((rule) => depthOf(rule, correlations))) + 1) * longest
}

function randomNodes(random: Random): NodePlan[] {
  const count = random.int(2, 4)
  const nodes = Array.from({ length: count }, (_, at) => ({
    name: `n${at}`,
    roles: new Set(ALL.filter(() => random.chance(0.6))),
    skew: random.int(-60_000, 60_000),
  }))
  // Each that ingests writes ticks, and two of them tell as much as four.
  for (const { roles } of nodes.filter(({ roles }) => roles.has('ingest')).slice(2)) roles.delete('ingest')
  for (const role of ALL) if (!nodes.some(({ roles }) => roles.has(role))) random.pick(nodes).roles.add(role)
  return nodes
}

function randomFaults(
  random: Random,
  nodes: readonly NodePlan[],
  { embedded, start, end }: { readonly embedded: boolean; readonly start: number; readonly end: number },
): Fault[] {
  const faults: Fault[] = []
  const add = (at: number, label: string, strike: Fault['strike']) => faults.push({ at: Math.min(at, end), label, strike })
  const nodeAt = (at: number) => (fleet: { readonly nodes: readonly Node[] }) => fleet.nodes[at]!
  for (let count = random.int(2, 12); count > 0; count--) {
    const at = random.int(start, end)
    const index = random.int(0, nodes.length - 1)
    const node = nodeAt(index)
    const name = nodes[index]!.name
    const again = at + random.int(100, 9_000)
    const kind = random.pick(
      embedded
        ? (['crash', 'crash', 'disk', 'backup', 'damage', 'pause', 'store'] as const)
        : (['crash', 'crash', 'disk', 'backup', 'damage', 'freeze', 'freeze', 'leave', 'pause', 'shake', 'store', 'logs'] as const),
    )
    switch (kind) {
      case 'crash':
        add(at, `${name} crashes`, (fleet) => node(fleet).crash())
        add(again, `${name} is started`, (fleet) => node(fleet).start())
        break
      case 'leave':
        add(at, `${name} is stopped`, (fleet) => node(fleet).leave())
        add(again, `${name} is started`, (fleet) => node(fleet).start())
        break
      case 'freeze':
        add(at, `${name} freezes`, (fleet) => node(fleet).freeze())
        // Long enough, now and then, that what it had in hand is forgotten elsewhere when it wakes.
        add(random.chance(0.4) ? again + random.int(5_000, 20_000) : again, `${name} thaws`, (fleet) => node(fleet).thaw())
        break
      case 'disk':
        add(at, `${name} crashes, and its disk is gone`, (fleet) => {
          node(fleet).crash()
          node(fleet).loseDisk()
        })
        add(again, `${name} is started`, (fleet) => node(fleet).start())
        break
      case 'backup':
        add(at, `${name} is backed up`, (fleet) => node(fleet).disk.backUp())
        add(again, `${name} crashes, and has its backup`, (fleet) => {
          node(fleet).crash()
          node(fleet).disk.restore()
        })
        add(again + random.int(10, 3_000), `${name} is started`, (fleet) => node(fleet).start())
        break
      case 'damage':
        add(at, 'a checkpoint is damaged', ({ world }) => world.logs.damage('checkpoints'))
        break
      case 'pause':
        add(at, `${name} takes nothing in`, (fleet) => {
          node(fleet).paused = true
        })
        add(again, `${name} takes in again`, (fleet) => {
          node(fleet).paused = false
        })
        break
      case 'shake':
        add(at, 'partitions change hands', ({ world }) => world.membership?.shake())
        break
      case 'store':
        add(at, 'the store is gone', ({ world }) => (world.storeNetwork.down = true))
        add(again, 'the store is back', ({ world }) => (world.storeNetwork.down = false))
        break
      case 'logs':
        add(at, 'the brokers are gone', ({ world }) => (world.network.down = true))
        add(at + random.int(100, 3_000), 'the brokers are back', ({ world }) => (world.network.down = false))
        break
    }
  }
  const matching = nodes.filter(({ roles }) => roles.has('match'))
  if (!embedded && matching.length > 1 && random.chance(0.5)) {
    // Another one does its work meanwhile; what it then sends again has been forgotten where it is sent to.
    const { name } = random.pick(matching)
    const node = nodeAt(nodes.findIndex((other) => other.name === name))
    add(start + random.int(1_000, 4_000), `${name} falls asleep`, (fleet) => node(fleet).freeze())
    add(end - random.int(0, 1_000), `${name} wakes`, (fleet) => node(fleet).thaw())
  }
  if (!embedded && random.chance(0.5))
    for (let at = start; at < end; at += random.int(1_000, 6_000)) add(at, 'leadership moves', ({ world }) => world.logs.moveLeader())
  return faults
}
