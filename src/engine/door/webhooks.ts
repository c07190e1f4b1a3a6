import { digest } from '../../event/id.ts'
import type { Receipt } from '../../responders/responder.ts'
import type { Link } from '../../response/vendor.ts'
import { linesOf } from '../../sources/lines.ts'
import type { Intake } from '../../sources/source.ts'

/** What a responder learns from a webhook. */
export interface Heard {
  readonly responder: string
  readonly receipts: readonly Receipt[]
}

/** Where the vendors' webhooks go. */
export interface Webhooks {
  /**
   * What a webhook holds, for the responder that it is addressed to and then for every other that it is good for; undefined if no responder of
   * this name takes any. Throws if it is not the vendor's.
   */
  read(responder: string, body: Uint8Array, headers: Readonly<Record<string, string>>): readonly Heard[] | undefined
  /** Resolves when the receipts, and what the body reports besides, are durable, so that the vendor may forget them. */
  keep(heard: readonly Heard[], body: Uint8Array): Promise<void>
}

/**
 * A webhook is read by the responder that it is addressed to. A server with one webhook serves several responders: those whose webhooks report
 * the same, and whose key signs this one, hear of it, too.
 */
export function webhooks(links: readonly Link[], keep: Webhooks['keep']): Webhooks {
  return {
    keep,
    read(name, body, headers) {
      const named = links.find((link) => link.name === name)
      const receipts = named?.connected.receive?.(body, headers)
      if (named === undefined || receipts === undefined) return undefined
      const { reports } = named.responder
      const others = reports === undefined ? [] : links.filter((link) => link !== named && link.responder.reports === reports)
      return [{ responder: name, receipts }, ...others.flatMap((link) => overhears(link, body, headers))]
    },
  }
}

function overhears({ name, connected }: Link, body: Uint8Array, headers: Readonly<Record<string, string>>): Heard[] {
  try {
    return [{ responder: name, receipts: connected.receive?.(body, headers) ?? [] }]
  } catch {
    // Another server's.
    return []
  }
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
