import { type LinkClaims, readLink, signLink } from '../../access/approval-link.ts'
import type { Principal } from '../../access/principal.ts'
import { CordonError } from '../../event/error.ts'
import { rememberIssued } from '../../event/secrets.ts'
import type { ApprovalLink } from '../../responders/responder.ts'
import { readSecret } from '../../responders/secret.ts'
import type { Approvals } from '../../response/approval.ts'
import type { Effect } from '../../response/effect.ts'
import { nounOf } from '../../response/words.ts'
import type { Config } from '../config.ts'
import type { ActionView, Operations } from '../operations.ts'

/** What a person is shown who follows their link. */
export interface LinkedQuestion {
  readonly person: string
  readonly action: ActionView
}

/** Links by which named persons answer: docs/guides/response.md, "Approval". */
export interface ApprovalLinks {
  /** Those that belong into a message that goes out through this responder. */
  through(responder: string, effect: Effect): readonly ApprovalLink[]
  /** @throws CordonError `LINK_INVALID`, `LINK_USED` */
  question(token: string, operations: Pick<Operations, 'action'>): Promise<LinkedQuestion>
  /** @throws CordonError as {@link question}, and as `approve` of the response room */
  answer(token: string, answer: LinkAnswer, operations: Pick<Operations, 'action' | LinkAnswer['decision']>): Promise<ActionView>
}

export interface LinkAnswer {
  readonly decision: 'approve' | 'reject'
  readonly reason: string
}

const SHORTEST_KEY = 32

/**
 * Makes and reads the links. None are made without the setting `approval_links`.
 *
 * @param approvals the policy's, as it is when a link is made or used: whoever is struck out of it has links that are worth nothing
 * @throws CordonError `SECRET_MISSING`, `LINK_KEY`
 */
export function approvalLinks(
  { approval_links: settings }: Pick<Config, 'approval_links'>,
  approvals: () => Approvals,
  now: () => number = Date.now,
): ApprovalLinks | undefined {
  if (settings === undefined) return undefined
  const key = readSecret(settings.key)
  if (key.length < SHORTEST_KEY) {
    throw new CordonError('LINK_KEY', `the key of approval_links is shorter than ${SHORTEST_KEY} characters`, {
      hint: 'make one with: openssl rand -base64 32',
    })
  }
  const base = settings.url.replace(/\/+$/, '')

  const open = async (token: string, operations: Pick<Operations, 'action'>) => {
    const said = readLink(token, key, now())
    const principal = principalOf(said, approvals())
    const action = await operations.action(said.effect)
    const { approval } = action
    const isAsked = action.state === 'AWAITING_APPROVAL' && approval?.digest === said.digest
    if (isAsked && approval?.given.every(({ by }) => by !== said.person)) return { said, principal, action }
    throw new CordonError('LINK_USED', 'this was answered already, or is no longer asked', {
      hint: `it is ${action.state}: ${action.reason}`,
    })
  }

  return {
    through: (responder, { id, verb, target, state, approval }) => {
      if (state !== 'AWAITING_APPROVAL' || approval === undefined) return []
      const { digest, until } = approval
      return approvals()
        .people.filter(({ via }) => via === responder)
        .map(({ name: person }) => {
          const token = rememberIssued(signLink({ person, effect: id, digest, until }, key))
          return { person, action: nounOf({ verb, target }), until, url: `${base}/approve/${token}` }
        })
    },
    async question(token, operations) {
      const { said, action } = await open(token, operations)
      return { person: said.person, action }
    },
    async answer(token, { decision, reason }, operations) {
      const { said, principal } = await open(token, operations)
      return operations[decision](said.effect, { principal, reason, digest: said.digest })
    },
  }
}

function principalOf({ person }: LinkClaims, { people }: Approvals): Principal {
  const known = people.find(({ name }) => name === person)
  if (known !== undefined) return { name: person, via: 'link', roles: [known.role] }
  throw new CordonError('LINK_INVALID', `${person} is not among the people of the policy any more`, { hint: 'see approvals.yml' })
}
