import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, parse } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ActRequest, type Definition, definitionSchema, type LookTarget } from '../../src/responders/declared/definition.ts'
import { placeBody, placeTarget } from '../../src/responders/declared/place.ts'
import { compileTemplate } from '../../src/responders/template.ts'
import { readSettings } from '../../src/settings/settings-file.ts'

/**
 * Every request that the shipped responder files can make, against a folder of the vendors' OpenAPI documents, served and enforced by
 * Prism: `node test/conformance/vendor-specs.ts FOLDER`. Prism is fetched when it is run (`PRISM_BIN` names an installed one), and the
 * documents are not part of the project. Prints a table; exit 1 where a vendor's document refuses a request.
 */

const RESPONDERS = join(import.meta.dirname, '../../responders')

/** Whose document a file is held against, and what stands before the document's paths. */
const SPECS: readonly (readonly [files: RegExp, spec: string, base: string])[] = [
  [/^defender-/, 'microsoft-defender-endpoint', '/api'],
  [/^(entra|intune)-/, 'microsoft-graph', '/v1.0'],
  [/^falcon-/, 'crowdstrike-falcon', ''],
  [/^jamf-/, 'jamf-pro', '/api'],
  [/^jira-/, 'jira-cloud', ''],
  [/^okta-/, 'okta-management', ''],
  [/^pagerduty-/, 'pagerduty-events-v2', '/v2'],
  [/^servicenow-/, 'servicenow-table', '/api/now'],
  [/^slack-/, 'slack-web', '/api'],
]

/** Values that a vendor could have given. All else is `x1`. */
const SAMPLES: Readonly<Record<string, string>> = {
  'incident.opened_at': '2026-03-01T10:00:00.000Z',
  'attempt.since': '2026-03-01T10:00:00.000Z',
  'secret.pin': '739104',
  'value.severity': 'critical',
  'value.urgency': '1',
  'config.isolation': 'Full',
}

interface Request {
  readonly method: string
  readonly target: LookTarget
  readonly body: Pick<ActRequest, 'json' | 'form'>
}

function requestsOf({ plan, run, undo, confirm, confirm_undo }: Definition): readonly Request[] {
  const reads = [
    ...plan.looks,
    run.find,
    undo?.find,
    ...[confirm, confirm_undo].flatMap((reading) => (Array.isArray(reading) ? reading : [])),
  ]
  const acts = [run.request, run.found, undo?.request, undo?.found]
  const all = [
    ...reads.flatMap((target) => (target === undefined ? [] : [{ method: 'GET', target, body: {} }])),
    ...acts.flatMap((act) => (act === undefined ? [] : [{ method: act.method, target: act, body: act }])),
  ]
  return [
    ...new Map(
      all.map((request) => [JSON.stringify([request.method, request.target.path, request.target.query, request.body]), request]),
    ).values(),
  ]
}

function samplesFor(request: Request): Record<string, string> {
  const names = [...JSON.stringify([request.target, request.body]).matchAll(/\{\{([^}]+)\}\}/g)].map(([, name]) => name!)
  return Object.fromEntries(names.map((name) => [name, SAMPLES[name] ?? 'x1']))
}

/** The scheme of the file's own credentials. */
function authorization({ auth }: Definition): Record<string, string> {
  if (auth === undefined) return {}
  if ('basic' in auth) return { authorization: `Basic ${Buffer.from('user:password').toString('base64')}` }
  if (!('header' in auth)) return { authorization: 'Bearer token' }
  const { name, value } = auth.header
  return { [name]: compileTemplate(value).render(Object.fromEntries(compileTemplate(value).names.map((known) => [known, 'token']))) }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const address = server.address()
  await new Promise((closed) => server.close(closed))
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function startPrism(document: string): Promise<{ readonly url: string; readonly process: ChildProcess }> {
  const port = await freePort()
  const args = ['mock', '-h', '127.0.0.1', '-p', String(port), '--errors', document]
  const { PRISM_BIN } = process.env
  const [bin, before] = PRISM_BIN === undefined ? ['npx', ['--yes', '-p', '@stoplight/prism-cli', 'prism']] : [PRISM_BIN, []]
  const prism = spawn(bin, [...before, ...args], { stdio: 'ignore' })
  const url = `http://127.0.0.1:${port}`
  for (let tries = 0; tries < 240; tries++) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      return { url, process: prism }
    await sleep(500)
  }
  prism.kill()
  throw new Error(`Prism does not start with ${document}`)
}

async function resultOf(definition: Definition, request: Request, url: string, base: string): Promise<string> {
  const data = samplesFor(request)
  const { path } = placeTarget({ ...request.target, headers: {} }, data)
  const { body, headers } = placeBody(request.body as ActRequest, data)
  const response = await fetch(`${url}${path.startsWith(base) ? path.slice(base.length) : path}`, {
    method: request.method,
    headers: { accept: 'application/json', ...authorization(definition), ...headers },
    ...(body === undefined ? {} : { body }),
  })
  const text = await response.text()
  if (response.ok) return `accepted (${response.status})`
  if (response.status === 404 && /NO_PATH_MATCHED/.test(text)) return 'not in the document'
  if (response.status === 405) return 'not in the document (method)'
  if (response.status === 415) return 'not in the document (media type)'
  return `REFUSED (${response.status}) ${text.slice(0, 200).replaceAll(/\s+/g, ' ')}`
}

const [folder = '.'] = process.argv.slice(2)
const rows: string[] = []
for (const [files, spec, base] of SPECS) {
  const document = join(folder, `${spec}.openapi.yaml`)
  if (!existsSync(document)) {
    rows.push(`| ${spec} | | no document |`)
    continue
  }
  const prism = await startPrism(document)
  try {
    for (const file of readdirSync(RESPONDERS).filter((name) => files.test(name))) {
      const mistakes = { notYaml: 'RESPONDER_FILE_YAML', invalid: 'RESPONDER_FILE', hint: '' }
      const { data } = readSettings(file, readFileSync(join(RESPONDERS, file), 'utf8'), definitionSchema, mistakes)
      for (const request of requestsOf(data)) {
        rows.push(
          `| ${parse(file).name} | \`${request.method} ${request.target.path}\` | ${await resultOf(data, request, prism.url, base)} |`,
        )
      }
    }
  } finally {
    prism.process.kill()
  }
}
process.stdout.write(`| responder | call | the vendor's document |\n| --- | --- | --- |\n${rows.join('\n')}\n`)
process.exitCode = rows.some((row) => row.includes('REFUSED')) ? 1 : 0
