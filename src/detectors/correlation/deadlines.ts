/** Things that wait for a clock to pass their time, by their ids: a heap, so that a step of the clock costs only what is due. */
export class Deadlines<T> {
  private readonly waiting = new Map<string, { readonly at: number; readonly item: T }>()
  /** The least first. What is no longer waiting, or for another time, is passed over when it comes up. */
  private readonly heap: { readonly at: number; readonly id: string }[] = []

  set(id: string, at: number, item: T): void {
    const known = this.waiting.get(id)
    this.waiting.set(id, { at, item })
    if (known?.at !== at) this.push({ at, id })
  }

  delete(id: string): void {
    this.waiting.delete(id)
  }

  /** Takes out what has waited for a time before `clock`. */
  due(clock: number): readonly T[] {
    return this.dueById(clock).map(([, item]) => item)
  }

  /** As {@link due}, with their ids. */
  dueById(clock: number): readonly (readonly [id: string, T])[] {
    const due: (readonly [string, T])[] = []
    for (let first = this.heap[0]; first !== undefined && first.at < clock; first = this.heap[0]) {
      this.pop()
      const found = this.waiting.get(first.id)
      if (found?.at !== first.at) continue
      this.waiting.delete(first.id)
      due.push([first.id, found.item])
    }
    return due
  }

  private push(entry: { readonly at: number; readonly id: string }): void {
    const { heap } = this
    let place = heap.push(entry) - 1
    while (place > 0) {
      const above = (place - 1) >>> 1
      if (heap[above]!.at <= entry.at) break
      heap[place] = heap[above]!
      place = above
    }
    heap[place] = entry
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop()!
    if (heap.length === 0) return
    let place = 0
    for (;;) {
      const left = 2 * place + 1
      if (left >= heap.length) break
      const below = left + 1 < heap.length && heap[left + 1]!.at < heap[left]!.at ? left + 1 : left
      if (heap[below]!.at >= last.at) break
      heap[place] = heap[below]!
      place = below
    }
    heap[place] = last
  }
}
