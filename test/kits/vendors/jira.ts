import { z } from 'zod'
import { type Operation, refusal, serveVendor } from './vendor.ts'

// The document format has no room for empty texts.
const description = z.strictObject({
  type: z.literal('doc'),
  version: z.literal(1),
  content: z.array(
    z.strictObject({
      type: z.literal('codeBlock'),
      content: z.array(z.strictObject({ type: z.literal('text'), text: z.string().min(1) })),
    }),
  ),
})
const summary = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^\r\n]*$/)
const properties = z.tuple([z.strictObject({ key: z.literal('cordon'), value: z.strictObject({ key: z.string().min(8) }) })])
const label = z.string().max(255).regex(/^\S+$/)
const create = z.strictObject({
  fields: z.strictObject({
    project: z.strictObject({ key: z.literal('SEC') }),
    issuetype: z.strictObject({ name: z.literal('Task') }),
    labels: z.tuple([label]),
    ...{ summary, description },
  }),
  properties,
})
const update = z.strictObject({ fields: z.strictObject({ summary, description }), properties })
interface Issue {
  readonly id: string
  readonly key: string
  readonly label: string
  cordon: string
  done: boolean
}

/** Jira Cloud's REST API v3: issues that are searched by label. */
export async function startJira(user: string, token: string) {
  const issues: Issue[] = []
  const authorization = `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`
  const shown = ({ id, key, cordon }: Issue) => ({ id, key, fields: {}, properties: { cordon: { key: cordon } } })
  const server = await serveVendor(
    ({ headers }) =>
      headers.authorization === authorization ? undefined : { status: 401, body: { errorMessages: ['not authenticated'] } },
    (record): readonly Operation[] => [
      { on: 'GET /rest/api/3/myself', answer: () => ({ status: 200, body: { accountId: 'a' } }) },
      {
        on: 'GET /rest/api/3/search/jql',
        query: z.strictObject({
          jql: z.string().regex(/^labels = "cordon-[\w-]+" (ORDER BY created ASC|AND statusCategory != Done)$/),
          fields: z.enum(['summary', 'status']),
          properties: z.literal('cordon').optional(),
        }),
        answer: ({ query: { jql = '' } }) => {
          const wanted = /"([^"]+)"/.exec(jql)![1]
          const found = issues.filter(({ label: own, done }) => own === wanted && !(jql.includes('!= Done') && done))
          return { status: 200, body: { issues: found.map(shown), isLast: true } }
        },
      },
      {
        on: 'POST /rest/api/3/issue',
        body: create,
        answer: ({ body }) => {
          const { fields, properties: given } = body as z.infer<typeof create>
          const issue: Issue = {
            id: `${10_000 + issues.length}`,
            key: `SEC-${issues.length + 1}`,
            label: fields.labels[0],
            cordon: given[0].value.key,
            done: false,
          }
          issues.push(issue)
          record({ what: 'created', key: issue.label, about: issue.key })
          return { status: 201, body: { id: issue.id, key: issue.key } }
        },
      },
      {
        on: 'PUT /rest/api/3/issue/:id',
        body: update,
        answer: ({ params, body }) => {
          const issue = issues.find(({ id }) => id === params.id)
          if (issue === undefined) return refusal(404, 'Issue does not exist')
          issue.cordon = (body as z.infer<typeof update>).properties[0].value.key
          return { status: 204 }
        },
      },
      {
        on: 'GET /rest/api/3/issue/:id',
        query: z.strictObject({ fields: z.literal('summary'), properties: z.literal('cordon') }),
        answer: ({ params }) => {
          const issue = issues.find(({ id }) => id === params.id)
          return issue === undefined ? refusal(404, 'Issue does not exist') : { status: 200, body: shown(issue) }
        },
      },
      {
        on: 'POST /rest/api/3/issue/:id/transitions',
        body: z.strictObject({ transition: z.strictObject({ id: z.literal('31') }) }),
        answer: ({ params }) => {
          const issue = issues.find(({ id }) => id === params.id)
          if (issue === undefined || issue.done) return refusal(400, 'the transition is not valid for the issue')
          issue.done = true
          record({ what: 'closed', key: issue.label, about: issue.key })
          return { status: 204 }
        },
      },
    ],
  )
  return { ...server, issues }
}
