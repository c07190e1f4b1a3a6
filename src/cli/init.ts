import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Command } from 'commander'
import { PACKAGE_ROOT } from '../engine/config.ts'
import { responderExamples } from '../engine/links.ts'
import { CordonError } from '../event/error.ts'
import type { CommandFactory } from './io.ts'

export const initCommand: CommandFactory = (io) =>
  new Command('init')
    .description('Write a commented cordon.yml, an inventory, and folders for your own rules and policy. Nothing that exists is touched.')
    .argument('[folder]', 'where', '.')
    .action((folder: string) => {
      const files = { 'cordon.yml': config(), 'inventory.yml': INVENTORY, 'rules/README.md': RULES }
      const taken = [...Object.keys(files), 'policy'].filter((name) => existsSync(join(folder, name)))
      if (taken.length > 0) {
        throw new CordonError('INIT_EXISTS', `${taken.join(', ')} in ${folder} exist${taken.length === 1 ? 's' : ''} already`, {
          hint: 'name an empty folder, or move the files away: init overwrites nothing',
        })
      }
      mkdirSync(join(folder, 'rules'), { recursive: true })
      for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { flag: 'wx' })
      cpSync(join(PACKAGE_ROOT, 'policy'), join(folder, 'policy'), { recursive: true })
      const at = (name: string) => relative('.', join(folder, name)) || name
      io.out(`wrote ${at('cordon.yml')}, ${at('inventory.yml')}, ${at('policy/')} and ${at('rules/')}`)
      io.out(
        `next: fill in ${at('inventory.yml')} and the responders in ${at('cordon.yml')}, then run: cordon run --config ${at('cordon.yml')}`,
      )
    })

const config =
  () => `# Cordon's configuration. Every key with its default: docs/reference/configuration.md. Paths are relative to this file.
# A key that Cordon does not know is refused, so that a typo cannot switch off a quarantine.

data: ./data            # logs, state and tokens of this node; back it up with the node stopped
# node: siem-1          # its name in leases and in its log; the host's by default

listen:
  ingest:               # events in: OTLP/HTTP (POST /v1/logs) and JSON (POST /v1/events)
    host: 127.0.0.1     # put a TLS proxy in front before you open it to other machines
    port: 4318
    hosts: []           # host names that requests may be addressed to, besides loopback
  api:                  # alerts, incidents, actions, health, metrics, vendors' webhooks
    host: 127.0.0.1
    port: 4319
    hosts: []

sources: []             # AI agents push to listen.ingest and need no entry here
#  - type: file                        # a log file, followed through rotation
#    path: /var/log/audit/audit.log
#    source: linux.auditd              # docs/guides/sources/ says what to switch on at each source
#    device: laptop-7                  # for records that do not name their device
#  - type: elasticsearch               # an index that others write, such as your SIEM's
#    urls: [https://es-1.example.com:9200]
#    auth: { api_key: { env: CORDON_SIEM_API_KEY } }
#    index: logs-endpoint.events.*

rules: [builtin, ./rules]   # what comes with Cordon, then yours; your list or filter replaces ours of the same name or id
                            # { atr: package } in this list adds Agent Threat Rules: docs/reference/agent-threat-rules.md
policy: ./policy            # who may contain what: grants, limits, protected assets. Shipped grants for containment are shadow
inventory: ./inventory.yml  # devices, people, labels of paths. A device that is not in it counts as protected

incidents:
  join_within: 24h      # an alert joins the open incident of its entity if that had an alert within this time

retention:
  events: { age: 7d, size: 20GB }

store: { kind: embedded }   # where incidents and actions are kept. In a cluster, with the events:
# store: { kind: elasticsearch, urls: [https://es-1.example.com:9200], auth: { api_key: { env: CORDON_STORE_API_KEY } } }

responders: []          # each needs a grant in policy/ before it acts; credentials by reference, never in this file
${examples()}
`

/** An example of each responder, switched off. */
function examples(): string {
  const entries = responderExamples().flatMap(({ use, verb, title, example }) => [
    `#  - use: ${use}  # ${verb}: ${title}`,
    ...example
      .trimEnd()
      .split('\n')
      .map((line) => `#    ${line}`),
  ])
  return entries.join('\n')
}

const INVENTORY = `# What your organisation knows of its devices, people and paths. Events are joined with it once, when they come in.
# Read again when it changes; an entry that is wrong stops the reload, and the last good inventory stays.

devices: []
#  - id: laptop-7                # device.id in events, rules and policy
#    name: ana-macbook
#    aliases: [ws-12, ws-12.corp.example]     # host names that its telemetry uses
#    addresses: [10.4.0.21]
#    mdm_id: 5F2B7E61-0000-4000-8000-000000000007    # UDID in the MDM: without it there is nothing to quarantine
#    owner: ana
#    groups: [finance]
#    protected: false           # true: never contained by itself

users: []
#  - id: ana
#    email: ana@corp.example
#    name: Ana Example
#    groups: [finance]

labels: []                      # path → classification; the first that fits decides
#  - path: /sensitive/**
#    classification: restricted
`

const RULES = `# Your rules

Sigma rules (\`*.yml\`), filters and lists of your own. A list with the name of a shipped one, or a filter with its id, replaces it.
Check them with \`cordon validate rules\`, run their tests with \`cordon test rules\`, and see what they would have found with
\`cordon replay --rules rules events.ndjson\`. A rule only *requests* a response: \`policy/\` grants it.
`
