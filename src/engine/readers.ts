import type { Consumer, LogName, PartitionHandler } from '../streams/log.ts'
import type { Parts } from './parts.ts'
import { whenAborted } from './stop-signal.ts'

export interface Backlog {
  readonly log: LogName
  readonly group: string
  readonly partition: number
  readonly value: number
}

/** The consumers of a node, one for each log that its roles read. */
export class Readers {
  private readonly parts: Pick<Parts, 'streams' | 'stopping' | 'onClose'>
  private readonly consumers: { readonly log: LogName; readonly group: string; readonly consumer: Consumer }[] = []

  constructor({ streams, metrics, stopping, onClose }: Parts) {
    this.parts = { streams, stopping, onClose }
    metrics.observe('cordon_log_lag', 'Entries that a worker has not handled yet', async () =>
      (await this.lag()).map(({ value, ...attributes }) => ({ value, attributes })),
    )
  }

  /** Begins to read, and resolves when the handler stands where it was, or the node is asked to stop: a group may take long to settle. */
  async begin<T>(log: LogName, group: string, handler: PartitionHandler<T>): Promise<void> {
    const { streams, stopping, onClose } = this.parts
    const consumer = streams.consume<T>(log, group, handler)
    this.consumers.push({ log, group, consumer })
    onClose(() => consumer.stop())
    await Promise.race([consumer.started(), whenAborted(stopping)])
  }

  /** Resolves when everything appended so far has been handled, log after log in the order of the flow. */
  async drained(): Promise<void> {
    for (const log of FLOW) for (const { consumer } of this.consumers.filter((reader) => reader.log === log)) await consumer.drained()
  }

  /** Entries not handled yet. */
  async lag(): Promise<readonly Backlog[]> {
    const lags = this.consumers.map(async ({ log, group, consumer }) =>
      [...(await consumer.lag())].map(([partition, value]) => ({ log, group, partition, value })),
    )
    return (await Promise.all(lags)).flat()
  }
}

const FLOW: readonly LogName[] = ['events', 'signals', 'alerts']
