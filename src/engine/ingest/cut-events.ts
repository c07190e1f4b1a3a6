/** How long a sender's last event of the kind is told. Milliseconds. */
const PERIOD = 3_600_000

/** Who has sent events with more findings than are told one by one, in the last hour of this node's clock. */
export class CutEvents {
  private readonly senders = new Map<string, { readonly count: number; readonly at: number }>()

  /** @param sender whose name ingest knows: there are as many as there are keys and files */
  add(sender: string, count: number, now: number): void {
    this.forget(now)
    this.senders.set(sender, { count: count + (this.senders.get(sender)?.count ?? 0), at: now })
  }

  /** The senders with the number of their events since they were last quiet for an hour, the busiest first. */
  recent(now: number): readonly { readonly sender: string; readonly count: number }[] {
    this.forget(now)
    return [...this.senders].map(([sender, { count }]) => ({ sender, count })).toSorted((one, other) => other.count - one.count)
  }

  private forget(now: number): void {
    for (const [sender, { at }] of this.senders) if (at <= now - PERIOD) this.senders.delete(sender)
  }
}
