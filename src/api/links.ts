import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { bodyLimit } from 'hono/body-limit'
import { reason } from '../access/reason.ts'
import type { ApprovalLinks } from '../engine/door/approval-links.ts'
import type { Door } from '../engine/door/door.ts'
import { CordonError } from '../event/error.ts'
import type { ApiOperations } from './app.ts'
import { type ApiEnv, asks } from './guard.ts'
import { answerPage, PAGE_HEADERS, questionPage } from './link-page.ts'

const FORM_BYTES = 16 * 1024
const token = z.object({ token: z.string() })
const form = z.strictObject({ decision: z.enum(['approve', 'reject']), reason })
const pages = {
  200: { description: 'A page for a person', content: { 'text/html': { schema: z.string() } } },
  400: { description: 'The form is not whole', content: { 'text/html': { schema: z.string() } } },
  403: { description: 'The link is not good, or not for this', content: { 'text/html': { schema: z.string() } } },
}

/** The pages behind the links that named persons get: a look asks, and only a sent form acts, so that what follows links by itself does nothing. */
export function addLinkPages(app: OpenAPIHono<ApiEnv>, links: ApprovalLinks, operations: ApiOperations, door: Pick<Door, 'refused'>): void {
  const refusal = (error: unknown) => {
    if (!(error instanceof CordonError)) throw error
    door.refused('link')
    return answerPage('Not possible', `${error.message}. ${error.hint ?? ''}`)
  }
  app.openapi(
    createRoute({ ...asks('open'), method: 'get', path: '/approve/{token}', request: { params: token }, responses: pages }),
    async (c) => {
      try {
        return c.html(questionPage(await links.question(c.req.valid('param').token, operations)), 200, PAGE_HEADERS)
      } catch (error) {
        return c.html(refusal(error), 403, PAGE_HEADERS)
      }
    },
  )
  app.openapi(
    createRoute({
      ...asks('open'),
      method: 'post',
      path: '/approve/{token}',
      middleware: bodyLimit({
        maxSize: FORM_BYTES,
        onError: (c) => c.html(answerPage('Not possible', 'That was too much.'), 413, PAGE_HEADERS),
      }),
      request: { params: token },
      responses: pages,
    }),
    async (c) => {
      const sent = form.safeParse(await c.req.parseBody().catch(() => undefined))
      if (!sent.success) return c.html(answerPage('Not possible', 'Say why, and choose one of the two.'), 400, PAGE_HEADERS)
      try {
        const { state, reason: now } = await links.answer(c.req.valid('param').token, sent.data, operations)
        const text = state === 'AWAITING_APPROVAL' ? 'It takes one more person.' : now
        return c.html(answerPage('Noted', text), 200, PAGE_HEADERS)
      } catch (error) {
        return c.html(refusal(error), 403, PAGE_HEADERS)
      }
    },
  )
}
