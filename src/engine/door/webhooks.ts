import { digest } from '../../event/id.ts'
import type { Receipt } from '../../responders/responder.ts'
import type { Link } from '../../response/vendor.ts'
import { linesOf } from '../../sources/lines.ts'
import type { Intake } from '../../sources/source.ts'

/** Where the vendors' webhooks go. */
export interface Webhooks {
  /** What a webhook holds; undefined if no responder of this name takes any. Throws if it is not the vendor's. */
  read(responder: string, body: Uint8Array, headers: Readonly<Record<string, string>>): readonly Receipt[] | undefined
  /** Resolves when the receipts, and what the body reports besides, are durable, so that the vendor may forget them. */
  keep(responder: string, receipts: readonly Receipt[], body: Uint8Array): Promise<void>
}

/** Webhooks are read by the responder that they are for. */
export function webhooks(links: readonly Link[], keep: Webhooks['keep']): Webhooks {
  return { read: (name, body, headers) => links.find((link) => link.name === name)?.connected.receive?.(body, headers), keep }
}

/**
 * Takes in what a vendor's webhook reports besides receipts: an MDM has one webhook, and says there how its devices are. The responder has
 * checked the signature.
 */
export async function takeReports(intake: Intake, link: Link | undefined, body: Uint8Array): Promise<void> {
  const source = link?.responder.reports
  if (link === undefined || source === undefined) return
  const framer = intake.framer(source)
  const records = [...linesOf(Buffer.from(body)).flatMap((line) => framer.push(line, 0)), ...framer.flush()]
  await intake.accept({ sender: `webhook:${link.name}`, source, transport: 'webhook', bodyHash: digest(body), records })
}
