import type { Dispatcher } from '../response/dispatcher.ts'
import type { Link } from '../response/vendor.ts'

/** Takes a vendor's webhook: how many receipts it held, undefined if no responder of this name takes any. Rejects if it is not the vendor's. */
export type ReceiveWebhook = (responder: string, body: Uint8Array, headers: Readonly<Record<string, string>>) => Promise<number | undefined>

/** Hands a webhook to the responder that it is for, and what that reads in it to the effects that wait for it. */
export function webhooks(links: readonly Link[], dispatcher: Dispatcher): ReceiveWebhook {
  return async (name, body, headers) => {
    const receive = links.find((link) => link.name === name)?.connected.receive
    if (receive === undefined) return undefined
    const receipts = receive(body, headers)
    await dispatcher.receive(name, receipts)
    return receipts.length
  }
}
