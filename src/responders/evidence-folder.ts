import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { messageOf } from '../event/error.ts'
import { classify, VendorError } from './failure.ts'
import type { ConnectedResponder, Responder } from './responder.ts'
import { checkRoot, observeSealed, sealFolder } from './sealed-folder.ts'

const config = z.strictObject({
  url: z
    .url({ protocol: /^file$/ })
    .refine((url) => URL.parse(url)?.host === '', 'names a host: file:///var/lib/cordon-evidence')
    .describe('the folder that evidence is kept in, as file:///path: on a disk or a mount of its own'),
})
type Config = z.infer<typeof config>

const TIMEOUT = 60_000

type Details = {
  /** Below the folder of the configuration: the incident and the effect's key. */
  readonly folder: string
}

/**
 * Keeps what Cordon holds of an incident: its alerts, the events as stored, the rules and lists by which they were judged, what was known of the
 * devices, what was done and what the vendors answered. Written once for each revision of the incident, as one folder whose manifest says what
 * every file must be.
 */
export const evidenceFolder = {
  name: 'evidence-folder',
  title: 'Keep what Cordon holds of an incident, hashed',
  verb: 'collect_forensics',
  effect: 'record',
  reversible: false,
  target: 'incident',
  needs: [],
  permissions: ['write into the folder'],
  config,
  example: 'url: file:///var/lib/cordon-evidence\n',
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  const root = fileURLToPath(settings.url)
  return {
    check: () => checkRoot(root),

    async plan(target, context) {
      const folder = `${target.id}-${context.idempotencyKey}`
      return { summary: `Keep what Cordon holds of ${target.id} in ${root}`, calls: [`write ${folder}`], details: { folder } }
    },

    async run(plan, context) {
      const { folder } = plan.details
      context.signal.throwIfAborted()
      const files = await context.caseFiles().catch((error: unknown) => {
        throw new VendorError({ kind: 'retry', reason: `what is held of the incident cannot be read: ${messageOf(error)}` })
      })
      return { folder, ...(await sealFolder(root, folder, files, context.signal)) }
    },

    verify: (plan, context) =>
      observeSealed(root, plan.details.folder, context.attempt, ({ files, bytes }) => `${files} files, ${bytes} bytes`),

    classify,
  }
}
