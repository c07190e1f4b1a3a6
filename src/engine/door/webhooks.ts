import { digest } from '../../event/id.ts'
import { valueWithoutSecrets, withoutSecrets } from '../../event/secrets.ts'
import type { IncidentWord, Receipt } from '../../responders/responder.ts'
import type { Link } from '../../response/vendor.ts'
import { linesOf } from '../../sources/lines.ts'
import type { Intake } from '../../sources/source.ts'

/** What a responder learns from a webhook. */
export interface Heard {
  readonly responder: string
  readonly receipts: readonly Receipt[]
  /** What people said of incidents. */
  readonly words: readonly IncidentWord[]
}

/** Where the vendors' webhooks go. */
export interface Webhooks {
  /**
   * What a webhook holds, for the responder that it is addressed to and then for every other that it is good for; undefined if no responder of
   * this name takes any. Throws if it is not the vendor's.
   */
  read(responder: string, body: Uint8Array, headers: Readonly<Record<string, string>>): readonly Heard[] | undefined
  /**
   * Resolves when the receipts, what people said, and what the body reports besides, are durable, so that the vendor may forget them.
   *
   * @throws CordonError `WEBHOOK_INCIDENT` where people spoke of an incident that there is not
   */
  keep(heard: readonly Heard[], body: Uint8Array): Promise<void>
}

/**
 * A webhook is read by the responder that it is addressed to. A server with one webhook serves several responders: those whose webhooks report
 * the same, and whose key signs this one, hear of it, too.
 */
export function webhooks(links: readonly Link[], keep: Webhooks['keep'], now: () => number = Date.now): Webhooks {
  return {
    keep,
    read(name, body, headers) {
      const named = links.find((link) => link.name === name)
      if (named === undefined) return undefined
      const { receive, hear } = named.connected
      if (receive === undefined && hear === undefined) return undefined
      const { reports } = named.responder
      const heard = heardBy(named, body, headers, now())
      const others = reports === undefined ? [] : links.filter((link) => link !== named && link.responder.reports === reports)
      return [heard, ...others.flatMap((link) => overhears(link, body, headers, now()))]
    },
  }
}

type Headers = Readonly<Record<string, string>>

/** A vendor that says what we gave it, or what a device shows of it, is heard without it: what is heard is kept. */
function heardBy({ name, connected }: Link, body: Uint8Array, headers: Headers, now: number): Heard {
  return valueWithoutSecrets({
    responder: name,
    receipts: connected.receive?.(body, headers) ?? [],
    words: connected.hear?.(body, headers, now) ?? [],
  })
}

function overhears(link: Link, body: Uint8Array, headers: Headers, now: number): Heard[] {
  try {
    return [heardBy(link, body, headers, now)]
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
  const said = Buffer.from(withoutSecrets(Buffer.from(body).toString('utf8')))
  const records = [...linesOf(said).flatMap((line) => framer.push(line, 0)), ...framer.flush()]
  await intake.accept({ sender: `webhook:${link.name}`, source, transport: 'webhook', bodyHash: digest(body), records })
}
