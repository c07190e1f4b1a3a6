import { userInfo } from 'node:os'
import { InvalidArgumentError, Option } from 'commander'
import { loadConfig } from '../engine/config.ts'
import { type Operations, withOperations } from '../engine/operations.ts'
import type { Io } from './io.ts'

/** What the commands share that read or order a node. */
export interface NodeOptions {
  config: string
  format?: 'text' | 'json'
}

export const configOption = () => new Option('-c, --config <file>', 'configuration of the node').default('cordon.yml')
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

/** Who gives an order, for the record. */
export const operator = () => userInfo().username

function positiveInteger(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number above 0')
  return value
}
