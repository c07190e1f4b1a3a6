import { z } from 'zod'
import { digest } from '../event/id.ts'
import { getText } from '../event/json.ts'
import { classify, VendorError } from './failure.ts'
import type { ConnectedResponder, Responder } from './responder.ts'
import { checkRoot, observeSealed, sealFolder } from './sealed-folder.ts'
import { type AgentOnDevice, agentHost, agentOf, checkDevices, checkSshHost, execute } from './ssh-executor.ts'

const config = agentHost.extend({
  folder: z.string().startsWith('/').describe('the folder on this machine that evidence is kept in'),
})
type Config = z.infer<typeof config>

const TIMEOUT = 30_000

type Details = AgentOnDevice & {
  /** Under which the device keeps what it collected, and this machine, too. */
  readonly key: string
}

/**
 * Collects what an agent is doing on a Linux device, before it is stopped or restarted: its processes and their descendants, what they have open
 * and mapped, and their sockets. The device packs it once for each effect, and it is kept here, hashed.
 */
export const hostCollectEvidence = {
  name: 'host-collect-evidence',
  title: 'Collect what an agent is doing on a Linux device',
  verb: 'collect_forensics',
  effect: 'contain',
  reversible: false,
  target: 'device',
  needs: ['gen_ai.agent.name'],
  permissions: [
    'SSH with the forced command "cordon-host evidence=…"; on the device, the right to read /proc of the agent',
    'write into the folder',
  ],
  config,
  example: `url: ssh://cordon@device
address_by: device.name
key: /run/secrets/cordon-devices
known_hosts: /etc/cordon/known_hosts
folder: /var/lib/cordon-evidence
`,
  repeatable: true,
  timeout: TIMEOUT,
  confirmWithin: 60_000,
  connect,
} satisfies Responder<Config>

function connect(settings: Config): ConnectedResponder<Details> {
  checkSshHost(settings)
  const { folder: root } = settings

  return {
    async check({ signal }) {
      await checkRoot(root)
      await checkDevices(settings, TIMEOUT, signal)
    },

    async plan(target, context) {
      const { agent, url, hostname } = agentOf(settings, target)
      return {
        summary: `Collect what agent ${agent} is doing on ${hostname}, and keep it in ${root}`,
        calls: [`evidence.collect ${agent} on ${hostname}`],
        details: { agent, url, key: context.idempotencyKey },
      }
    },

    async run(plan, context) {
      const { agent, url, key } = plan.details
      const answer = await execute({ ...settings, url }, { do: 'evidence.collect', agent, key }, TIMEOUT, context.signal)
      const content = Buffer.from(getText(answer, 'archive') ?? '', 'base64')
      if (content.length === 0 || digest(content) !== answer.sha256) {
        throw new VendorError({ kind: 'retry', reason: 'the archive that came is not the one that the device made' })
      }
      return { archive: digest(content), ...(await sealFolder(root, folderOf(key), [{ name: 'host.tar.gz', content }], context.signal)) }
    },

    verify: (plan, context) =>
      observeSealed(root, folderOf(plan.details.key), context.attempt, ({ bytes }) => `an archive of ${bytes} bytes`),

    classify,
  }
}

const folderOf = (key: string) => `host-${key}`
