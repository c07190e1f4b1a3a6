import { CordonError, messageOf } from '../event/error.ts'
import { type HttpResponse, neverSent } from './http.ts'
import type { Failure } from './responder.ts'

/** A vendor's answer that is not success, already judged by the responder that knows the vendor. */
export class VendorError extends CordonError {
  readonly failure: Failure

  constructor(failure: Failure, hint?: string) {
    super('RESPONDER_REFUSED', failure.reason, hint === undefined ? {} : { hint })
    this.failure = failure
  }
}

/** What a thrown error means for the attempt. Never throws. */
export function classify(error: unknown): Failure {
  if (error instanceof VendorError) return error.failure
  const reason = reasonOf(error)
  if (!(error instanceof CordonError)) return { kind: 'unknown', reason }
  if (error.code === 'HTTP_CONNECT' || error.code === 'VENDOR_CONNECT') return { kind: 'retry', reason }
  if (error.code === 'VENDOR_BROKEN') return { kind: 'unknown', reason }
  if (neverSent(error) || !error.code.startsWith('HTTP_')) return { kind: 'final', reason }
  return { kind: 'unknown', reason }
}

function reasonOf(error: unknown): string {
  try {
    return messageOf(error)
  } catch {
    return 'an error that cannot be printed'
  }
}

/** Statuses by which a server says "not now": it has done nothing. */
const NOT_NOW = new Set([408, 425, 429, 503])

/** The common reading of a status that is not success; a responder overrides it where its vendor means something else. */
export function statusFailure(response: HttpResponse, reason: string): Failure {
  const { status } = response
  if (NOT_NOW.has(status)) {
    const after = retryAfter(response.headers['retry-after'])
    return after === undefined ? { kind: 'retry', reason } : { kind: 'retry', reason, after }
  }
  return status >= 500 ? { kind: 'unknown', reason } : { kind: 'final', reason }
}

/** RFC 9110 section 10.2.3, seconds or an HTTP date, as milliseconds from now. */
function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  if (/^\d+$/.test(header)) return Number(header) * 1000
  // A date begins with the day of the week; what else there is of digits and signs is nothing that was meant.
  const date = /^[A-Z][a-z]+,? /.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}
