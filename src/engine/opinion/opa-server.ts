import { CordonError } from '../../event/error.ts'
import type { HttpClient } from '../../responders/http.ts'
import type { AskOpinion } from '../../response/opinion.ts'
import { checkedOpinion } from './answer.ts'

export interface OpaServer {
  /** Of the decision: `https://opa.example.com/v1/data/cordon/decision`. */
  readonly url: string
  readonly token?: string
  /** Longest time for an answer, in milliseconds. */
  readonly timeout: number
}

/** A running Open Policy Agent, asked through its data API. An answer throws `OPINION_INVALID`, `OPINION_REFUSED`, and what the client throws. */
export function opaServer({ url, token, timeout }: OpaServer, http: HttpClient): AskOpinion {
  const headers = { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }
  return async (input) => {
    const { status, body } = await http.request({ method: 'POST', url, headers, body: JSON.stringify({ input }), timeout })
    if (status !== 200) {
      throw new CordonError('OPINION_REFUSED', `the Open Policy Agent answers ${status}`, {
        hint: 'check the path of its decision, and the token',
      })
    }
    return checkedOpinion(resultOf(body))
  }
}

/** The data API leaves `result` out where the policy is undefined for the input. */
function resultOf(body: string): unknown {
  try {
    return (JSON.parse(body) as { readonly result?: unknown } | null)?.result
  } catch {
    return null
  }
}
