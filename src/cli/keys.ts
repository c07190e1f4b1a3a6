import { Command, Option } from 'commander'
import { ROLES } from '../access/principal.ts'
import { loadConfig } from '../engine/config.ts'
import { orderKey, orderRevocation } from '../engine/door/key-orders.ts'
import { type KeyInfo, type KeyRole, listKeys } from '../engine/door/keys.ts'
import { keysFileOf } from '../engine/door/orders.ts'
import type { CommandFactory } from './io.ts'
import {
  configOption,
  formatOption,
  keyOption,
  lengthOfTime,
  type NodeOptions,
  type OrderOptions,
  ordering,
  wantsJson,
  whyOption,
} from './node-options.ts'
import { table } from './table.ts'

/** How long the key of a person or program is good by default. */
const LASTS = { text: '90d', milliseconds: 90 * 86_400_000 }

export const keysCommand: CommandFactory = (io) => {
  const command = new Command('keys').description(
    'Who may use the API and give orders, and who may send events: keys of people and programs, tokens of senders.',
  )
  command
    .command('create')
    .description('Make a key. It is shown now and never again: only its hash is kept.')
    .addOption(
      new Option('--role <role>', 'what its holder may do; "sender" makes a token that sends events and may do nothing else')
        .choices([...ROLES, 'sender'])
        .makeOptionMandatory(),
    )
    .requiredOption('--name <name>', 'its holder: a person has one name in all of their keys, a sender one in all of its events')
    .addOption(
      new Option('--expires <time>', `when it stops being good; default: ${LASTS.text}, a sender's does not`).argParser(lengthOfTime),
    )
    .addOption(whyOption())
    .addOption(configOption())
    .addOption(keyOption())
    .action(async (options: OrderOptions & { role: KeyRole; name: string; expires?: number; reason: string }) => {
      const config = loadConfig(options.config)
      const { role, name, reason: why } = options
      const { name: by } = ordering(config, options, 'keys:manage')
      const lasts = options.expires ?? (role === 'sender' ? undefined : LASTS.milliseconds)
      io.out(await orderKey(config, { name, role, lasts }, { by, why }, Date.now()))
      io.err(`the ${role === 'sender' ? 'token' : 'key'} of ${name} (${role}); a running node takes it within a second`)
    })
  command
    .command('list')
    .description('Keys, and tokens of senders: whose, for what, until when.')
    .addOption(configOption())
    .addOption(formatOption())
    .action((options: NodeOptions) => {
      const keys = listKeys(keysFileOf(loadConfig(options.config)))
      if (wantsJson(io, options)) for (const key of keys) io.out(JSON.stringify(key))
      else {
        const rows = keys.map((key) => [key.id, key.name, key.role, key.created, standing(key, Date.now())])
        io.out(...table(['KEY', 'NAME', 'ROLE', 'CREATED', 'GOOD'], rows, 'no keys'))
      }
    })
  command
    .command('revoke')
    .description('Revoke a key, or all keys of a name. A running node refuses them within a second.')
    .argument('<key>', 'its id, or its holder\u2019s name')
    .addOption(whyOption())
    .addOption(configOption())
    .addOption(keyOption())
    .action(async (nameOrId: string, options: OrderOptions & { reason: string }) => {
      const config = loadConfig(options.config)
      const { name: by } = ordering(config, options, 'keys:manage')
      const revoked = await orderRevocation(config, nameOrId, { by, why: options.reason }, Date.now())
      for (const { id, name, role } of revoked) io.out(`revoked ${id} of ${name} (${role})`)
      if (revoked.length === 0) io.out(`nothing to revoke: no key of ${nameOrId} is good any more`)
    })
  return command
}

function standing({ expires, revoked }: KeyInfo, now: number): string {
  if (revoked !== undefined) return `no: revoked ${revoked}`
  if (expires === undefined) return 'for good'
  return Date.parse(expires) > now ? `until ${expires}` : `no: expired ${expires}`
}
