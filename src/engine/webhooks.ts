import type { Receipt } from '../responders/responder.ts'
import type { Link } from '../response/vendor.ts'

/** Where the vendors' webhooks go. */
export interface Webhooks {
  /** What a webhook holds; undefined if no responder of this name takes any. Throws if it is not the vendor's. */
  read(responder: string, body: Uint8Array, headers: Readonly<Record<string, string>>): readonly Receipt[] | undefined
  /** Resolves when the receipts are durable, so that the vendor may forget them. */
  keep(responder: string, receipts: readonly Receipt[]): Promise<void>
}

/** Webhooks are read by the responder that they are for. */
export function webhooks(links: readonly Link[], keep: Webhooks['keep']): Webhooks {
  return { read: (name, body, headers) => links.find((link) => link.name === name)?.connected.receive?.(body, headers), keep }
}
