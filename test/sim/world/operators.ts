import type { RuleFile } from '../../../src/sigma/bundle.ts'
import type { Node } from './node.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** How long an operator waits for an answer before he tries another node. Milliseconds. */
const PATIENCE = 2_500

/** Those who activate rules: they try again until a node says that it is done, or others have been wanted since. */
export class Operators {
  private readonly scheduler: Scheduler
  private readonly random: Random
  private readonly nodes: readonly Node[]
  private newest = 0

  constructor(scheduler: Scheduler, random: Random, nodes: readonly Node[]) {
    this.scheduler = scheduler
    this.random = random
    this.nodes = nodes
  }

  activate(at: number, files: readonly RuleFile[]): void {
    this.scheduler.after(at - this.scheduler.now, undefined, 'rules are to be activated', () => this.attempt(++this.newest, files))
  }

  private attempt(number: number, files: readonly RuleFile[]): void {
    const node = this.random.pick(this.nodes)
    let answered = false
    if (node.process !== undefined) {
      const done = () => {
        answered = true
      }
      this.scheduler.after(this.random.int(1, 10), node.process, 'an activation comes', () => {
        node.activate(files).then(done, (error) => this.scheduler.note(`activation: ${error}`))
      })
    }
    this.scheduler.after(PATIENCE, undefined, 'an operator looks', () => {
      if (!answered && number === this.newest) this.attempt(number, files)
    })
  }
}
