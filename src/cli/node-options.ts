import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Permission, Principal } from '../access/principal.ts'
import { reason } from '../access/reason.ts'
import { type Config, loadConfig } from '../engine/config.ts'
import { whoOrders } from '../engine/door/orders.ts'
import { type Operations, withOperations } from '../engine/operations.ts'
import { duration } from '../settings/duration.ts'
import type { Io } from './io.ts'

const SHORTEST_ID = 4

/** What the commands share that read or order a node. */
export interface NodeOptions {
  config: string
  format?: 'text' | 'json'
}

/** What the commands share that change something: who says so is on the record. */
export interface OrderOptions {
  config: string
  keyFile?: string
}

export const configOption = () => new Option('-c, --config <file>', 'configuration of the node').default('cordon.yml')
export const keyOption = () =>
  new Option('--key-file <file>', 'API key of whoever gives the order; else the one in CORDON_KEY, else the account that runs the command')
/** Why somebody gives an order. */
export const reasonOption = () => new Option('--reason <text>', 'why, for the record').argParser(words).makeOptionMandatory()
/** Why, where an order does not insist on it. */
export const whyOption = () => new Option('--reason <text>', 'why, for the record').argParser(words).default('no reason given')
export const formatOption = () => new Option('--format <format>', 'default: text on a terminal, json in a pipe').choices(['text', 'json'])
export const limitOption = () => new Option('-n, --limit <count>', 'how many, the newest first').default(50).argParser(positiveInteger)

/** People read a terminal, programs a pipe. */
export function wantsJson(io: Io, { format }: NodeOptions): boolean {
  return format === undefined ? !io.terminal : format === 'json'
}

/** Runs `work` on the configured node's ledger, running or not. */
export function onNode<T>(configPath: string, work: (operations: Operations) => Promise<T>): Promise<T> {
  return withOperations(loadConfig(configPath), work)
}

/**
 * Who gives an order, if they may.
 *
 * @throws CordonError `KEY_REFUSED`, `NOT_PERMITTED`, and as `readSecret`
 */
export function ordering(config: Config, { keyFile }: OrderOptions, permission: Permission): Principal {
  return whoOrders(config, keyFile, permission)
}

/** Runs `work` on the configured node's ledger as somebody who may, by the name that records have. */
export function onNodeAs<T>(
  options: OrderOptions,
  permission: Permission,
  work: (operations: Operations, principal: Principal) => Promise<T>,
): Promise<T> {
  const config = loadConfig(options.config)
  const principal = ordering(config, options, permission)
  return withOperations(config, (operations) => work(operations, principal))
}

/** The argument of an option that takes a length of time, in milliseconds. */
export function lengthOfTime(text: string): number {
  const parsed = duration.safeParse(text)
  if (!parsed.success || parsed.data === 0) throw new InvalidArgumentError('expected a length of time such as 12h or 90d')
  return parsed.data
}

function words(text: string): string {
  const parsed = reason.safeParse(text)
  if (!parsed.success) throw new InvalidArgumentError('expected words, at most 2000 characters')
  return parsed.data
}

/** As many characters as the API asks for: an order is not for whatever begins with one that was typed too early. */
function idPrefix(text: string): string {
  if (text.length < SHORTEST_ID) throw new InvalidArgumentError(`expected ${SHORTEST_ID} characters of it at least`)
  return text
}

function positiveInteger(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number above 0')
  return value
}

/** A command that orders something about one item: its id, why, and who orders it. */
export function orderCommand(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .argument('<id>', 'its id, or the beginning of it', idPrefix)
    .addOption(reasonOption())
    .addOption(configOption())
    .addOption(keyOption())
}
