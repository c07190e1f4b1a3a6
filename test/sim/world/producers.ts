import type { Occurrence } from '../model/workload.ts'
import type { Node } from './node.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** How long a producer waits for an answer before it tries another node. Milliseconds. */
const PATIENCE = 1_500

/** Those who have something to tell: they send it again until somebody has taken it. */
export class Producers {
  readonly acknowledged = new Set<string>()
  private readonly scheduler: Scheduler
  private readonly random: Random
  private readonly nodes: readonly Node[]

  constructor(scheduler: Scheduler, random: Random, nodes: readonly Node[]) {
    this.scheduler = scheduler
    this.random = random
    this.nodes = nodes.filter(({ roles }) => roles.has('ingest'))
  }

  send(at: number, occurrences: readonly Occurrence[]): void {
    this.scheduler.after(at - this.scheduler.now, undefined, `a producer has ${occurrences.map(({ id }) => id)}`, () =>
      this.attempt(occurrences),
    )
  }

  private attempt(occurrences: readonly Occurrence[]): void {
    const node = this.random.pick(this.nodes)
    let answered = false
    const answer = (ok: boolean) => {
      if (answered) return
      answered = true
      if (ok) for (const { id } of occurrences) this.acknowledged.add(id)
      else this.scheduler.after(this.random.int(50, 500), undefined, 'a producer tries again', () => this.attempt(occurrences))
    }
    const { process } = node
    if (process === undefined) {
      answer(false)
      return
    }
    this.scheduler.after(this.random.int(1, 10), process, 'a delivery comes', () => {
      node.accept(occurrences).then(
        () => this.scheduler.after(this.random.int(1, 10), undefined, 'acknowledged', () => answer(true)),
        () => this.scheduler.after(this.random.int(1, 10), undefined, 'refused', () => answer(false)),
      )
    })
    this.scheduler.after(PATIENCE, undefined, 'a producer looks', () => answer(false))
  }
}
