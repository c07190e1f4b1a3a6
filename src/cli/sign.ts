import { userInfo } from 'node:os'
import { Argument, Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { orderSignature } from '../engine/trust/sign.ts'
import type { SignedSet } from '../engine/trust/signed-set.ts'
import type { CommandFactory } from './io.ts'
import { configOption, whyOption } from './node-options.ts'

export const signCommand: CommandFactory = (io) =>
  new Command('sign')
    .description('Sign the rules or the policy of a configuration as they are now. With trust.keys, nodes take nothing else.')
    .addArgument(new Argument('<set>', 'what to sign').choices(['rules', 'policy']))
    .requiredOption('--key <file>', 'Ed25519 key (openssl genpkey -algorithm ed25519), best kept away from the nodes')
    .option('--name <name>', 'who signs, as the signature says it', userInfo().username)
    .addOption(whyOption())
    .addOption(configOption())
    .action(async (set: SignedSet, options: { key: string; name: string; reason: string; config: string }) => {
      const key = { name: options.name, file: options.key }
      const { file, id, publicKey } = await orderSignature(loadConfig(options.config), set, key, options.reason, Date.now())
      io.out(`signed ${set} ${id} in ${file}`)
      io.err(`for trust.keys: ${publicKey}`)
    })
