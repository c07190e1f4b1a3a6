import { userInfo } from 'node:os'
import { Argument, Command } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { signConfigured } from '../engine/trust/sign.ts'
import type { SignedSet } from '../engine/trust/signed-set.ts'
import type { CommandFactory } from './io.ts'
import { configOption } from './node-options.ts'

export const signCommand: CommandFactory = (io) =>
  new Command('sign')
    .description('Sign the rules or the policy of a configuration as they are now. With trust.keys, nodes take nothing else.')
    .addArgument(new Argument('<set>', 'what to sign').choices(['rules', 'policy']))
    .requiredOption('--key <file>', 'Ed25519 key (openssl genpkey -algorithm ed25519), best kept away from the nodes')
    .option('--name <name>', 'who signs, as the signature says it', userInfo().username)
    .addOption(configOption())
    .action((set: SignedSet, options: { key: string; name: string; config: string }) => {
      const { file, id, publicKey } = signConfigured(loadConfig(options.config), set, { name: options.name, file: options.key }, Date.now())
      io.out(`signed ${set} ${id} in ${file}`)
      io.err(`for trust.keys: ${publicKey}`)
    })
