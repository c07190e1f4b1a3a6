import { Command, Option } from 'commander'
import { ROLES, type Role } from '../access/principal.ts'
import { loadConfig } from '../engine/config.ts'
import { createKey, type KeyInfo, listKeys, revokeKeys } from '../engine/door/keys.ts'
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
} from './node-options.ts'
import { table } from './table.ts'

export const keysCommand: CommandFactory = (io) => {
  const command = new Command('keys').description('Who may use the API and give orders: keys of people and programs.')
  command
    .command('create')
    .description('Make a key. It is shown now and never again: only its hash is kept.')
    .addOption(new Option('--role <role>', 'what its holder may do').choices(ROLES).makeOptionMandatory())
    .requiredOption('--name <name>', 'its holder: a person has one name in all of their keys')
    .addOption(new Option('--expires <time>', 'when it stops being good').default(90 * 86_400_000, '90d').argParser(lengthOfTime))
    .addOption(configOption())
    .addOption(keyOption())
    .action(async (options: OrderOptions & { role: Role; name: string; expires: number }) => {
      const config = loadConfig(options.config)
      ordering(config, options, 'keys:manage')
      io.out(await createKey(keysFileOf(config), options.name, options.role, options.expires, Date.now()))
      io.err(`the key of ${options.name} (${options.role}); a running node takes it within a second`)
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
        io.out(table(['KEY', 'NAME', 'ROLE', 'CREATED', 'GOOD'], rows, 'no keys'))
      }
    })
  command
    .command('revoke')
    .description('Revoke a key, or all keys of a name. A running node refuses them within a second.')
    .argument('<key>', 'its id, or its holder\u2019s name')
    .addOption(configOption())
    .addOption(keyOption())
    .action(async (nameOrId: string, options: OrderOptions) => {
      const config = loadConfig(options.config)
      ordering(config, options, 'keys:manage')
      const revoked = await revokeKeys(keysFileOf(config), nameOrId, Date.now())
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
