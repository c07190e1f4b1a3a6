import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { getText, isObject, type JsonObject, parseForeignObject } from '../event/json.ts'
import { VendorError } from './failure.ts'
import type { ResponderContext, Target } from './responder.ts'

/** What the configuration of every responder that acts on a host says of the way there. */
export const sshHost = {
  url: z
    .url({ protocol: /^ssh$/ })
    .refine((url) => URL.parse(url)?.username !== '', 'names no user: ssh://cordon@host')
    .describe('ssh://user@host:port'),
  key: z.string().min(1).describe('path of the private key that may run cordon-host there and nothing else'),
  known_hosts: z.string().min(1).describe("path of a known_hosts file with the host's key: another key is refused"),
  ssh: z.string().min(1).default('ssh').describe('the OpenSSH client'),
}
export interface SshHost {
  readonly url: string
  readonly key: string
  readonly known_hosts: string
  readonly ssh: string
}

/** How a responder that acts on the device of its target finds it. */
const addressBy = z
  .enum(['url', 'device.name', 'device.ip'])
  .default('url')
  .describe('where the device is reached: at the host of url, or at this fact of the target')

/** What the configuration of a responder says that acts on an agent, on the device of its target. */
export const agentHost = z.strictObject({ ...sshHost, address_by: addressBy })
export type AgentHost = z.infer<typeof agentHost>

/** An agent, and the way to the device that it is on. */
export type AgentOnDevice = {
  readonly agent: string
  readonly url: string
}

/** Kept with the plan of what a device is to remember as done under the effect's key. */
export type OwnedByEffect = AgentOnDevice & {
  /** The effect's key, at the time of the plan. */
  readonly owner: string
}

/** An action of `host/cordon-host`, with its arguments: data, checked on the host. */
export type HostRequest = { readonly do: string } & Readonly<Record<string, unknown>>

const MAX_ANSWER = 1024 * 1024
const HOST_NAME = /^[\w](?:[\w.:-]*[\w])?$/

/** @throws CordonError `SECRET_MISSING` where the key or the known hosts are not there */
export function checkSshHost({ key, known_hosts }: SshHost): void {
  for (const path of [key, known_hosts]) {
    if (!existsSync(path))
      throw new CordonError('SECRET_MISSING', `there is no file ${path}`, { hint: 'docs/guides/responders/hosts.md says how to make it' })
  }
}

/** The way to the device of a target. */
function deviceUrl({ url, address_by }: AgentHost, { kind, id, facts }: Target): string {
  if (address_by === 'url') return url
  const address = facts[address_by]?.split(', ')[0]
  if (address === undefined || !HOST_NAME.test(address)) {
    throw new CordonError('RESPONDER_TARGET', `${kind} ${id} has no usable ${address_by}`, { hint: 'give the device one in the inventory' })
  }
  const way = new URL(url)
  way.hostname = address.includes(':') ? `[${address}]` : address
  return way.href
}

/** Asks the one host that there is. With an address for each device there is none to ask. @throws as {@link execute} */
export async function checkDevices(host: AgentHost, timeout: number, signal: AbortSignal): Promise<void> {
  if (host.address_by === 'url') await execute(host, { do: 'ping' }, timeout, signal)
}

/** The agent that the target names, and where. @throws CordonError `RESPONDER_TARGET` if it names none, or the device has no usable name */
export function agentOf(settings: AgentHost, target: Target): AgentOnDevice & { readonly hostname: string } {
  const agent = target.facts['gen_ai.agent.name']
  if (agent === undefined) throw new CordonError('RESPONDER_TARGET', `${target.kind} ${target.id} lacks gen_ai.agent.name`)
  const url = deviceUrl(settings, target)
  return { agent, url, hostname: new URL(url).hostname }
}

/** Asks the device of a plan to do one thing about the agent, under the effect's key. @throws as {@link execute} */
export function askOfAgent(
  settings: AgentHost,
  what: string,
  { agent, url, owner }: OwnedByEffect,
  timeout: number,
  { signal }: Pick<ResponderContext, 'signal'>,
): Promise<JsonObject> {
  return execute({ ...settings, url }, { do: what, agent, key: owner }, timeout, signal)
}

/**
 * Asks the host to do one thing, by SSH with a forced command. The request is a line of JSON on the standard input, sent when the host has said
 * that it listens: until then nothing can have happened.
 *
 * @throws CordonError `VENDOR_CONNECT` (nothing was sent), `VENDOR_BROKEN` (not known), {@link VendorError} where the host says no
 */
export async function execute(host: SshHost, request: HostRequest, timeout: number, signal: AbortSignal): Promise<JsonObject> {
  const { hostname, port, username } = new URL(host.url)
  const what = `${hostname} (ssh)`
  if (signal.aborted) throw new CordonError('VENDOR_CONNECT', `${what}: stopped before anything was sent`)
  const options = [
    'BatchMode=yes',
    'IdentitiesOnly=yes',
    'StrictHostKeyChecking=yes',
    `UserKnownHostsFile=${host.known_hosts}`,
    'ConnectTimeout=5',
    'ControlMaster=no',
    'ClearAllForwardings=yes',
  ]
  const words = [
    '-F',
    'none',
    '-T',
    ...options.flatMap((option) => ['-o', option]),
    '-i',
    host.key,
    '-p',
    port === '' ? '22' : port,
    '-l',
    decodeURIComponent(username),
    '--',
    hostname.replace(/^\[|\]$/g, ''),
  ]
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeout)])
  const child = spawn(host.ssh, words, {
    stdio: ['pipe', 'pipe', 'pipe'],
    signal: limit,
    killSignal: 'SIGKILL',
    env: { PATH: process.env.PATH },
  })
  const { sent, lines, complaint } = await converse(child, `${JSON.stringify(request)}\n`)
  const why = limit.aborted ? (signal.aborted ? 'stopped' : `no answer within ${timeout} ms`) : complaint
  if (!sent) {
    throw new CordonError('VENDOR_CONNECT', `${what}: ${why === '' ? 'cordon-host did not answer' : why}`, {
      hint: 'can the key log in, is the host key in known_hosts, and is cordon-host its forced command?',
    })
  }
  const answer = lines[1] === undefined ? undefined : parsed(lines[1])
  if (answer === undefined) throw new CordonError('VENDOR_BROKEN', `${what}: the connection broke before the answer (${why})`)
  if (answer.ok === true && isObject(answer.result)) return answer.result
  const reason = `the host says: ${getText(answer, 'message') ?? 'no'}`
  throw new VendorError(
    { kind: answer.code === 'failed' ? 'retry' : 'final', reason },
    'docs/guides/responders/hosts.md has what each right allows',
  )
}

interface Conversation {
  readonly sent: boolean
  readonly lines: readonly string[]
  /** What the SSH client wrote to its error output, in one line. */
  readonly complaint: string
}

/** Waits for the greeting, sends, and reads to the end. Never throws. */
function converse(child: ChildProcessByStdio<Writable, Readable, Readable>, request: string): Promise<Conversation> {
  let output = ''
  let complaint = ''
  let sent = false
  return new Promise((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (output.length > MAX_ANSWER) child.kill('SIGKILL')
      if (sent || !output.includes('\n')) return
      if (parsed(output.slice(0, output.indexOf('\n')))?.cordon !== 1) return child.kill('SIGKILL')
      sent = true
      child.stdin.end(request)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-300)))
    child.stdin.on('error', () => {})
    child.on('error', (error) => (complaint ||= error.message))
    child.on('close', () => resolve({ sent, lines: output.split('\n').slice(0, -1), complaint: complaint.replaceAll(/\s+/g, ' ').trim() }))
  })
}

function parsed(line: string): JsonObject | undefined {
  try {
    return parseForeignObject(line)
  } catch {
    return undefined
  }
}
