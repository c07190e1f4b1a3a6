import { accessSync, constants, existsSync, statfsSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { messageOf } from '../../event/error.ts'
import type { Config } from '../config.ts'
import { isDataFolderInUse } from '../data-folder.ts'
import { listenerUrl } from '../door/listener.ts'
import type { Health } from '../health.ts'
import { attempt, type Diagnosis, ok, problem, warning } from './diagnosis.ts'

const LITTLE_SPACE = 1e9
/** Milliseconds. */
const ANSWER_TIMEOUT = 5_000

/** The data folder and its disk. */
export function folderChecks({ data, retention }: Config): readonly Diagnosis[] {
  const check = 'data folder'
  const there = existingParent(data)
  try {
    accessSync(there, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch {
    return [problem(check, `${there} cannot be read and written`, 'check its owner and permissions, or name another under data')]
  }
  const { bavail, bsize } = statfsSync(there)
  const free = bavail * bsize
  const size = `${gigabytes(free)} free for ${data}`
  if (free < LITTLE_SPACE) return [problem('disk', size, 'free some space, or lower retention: what cannot be stored is not acknowledged')]
  const { events, signals, alerts, dead_letters } = retention
  const wanted = events.size + [signals, alerts, dead_letters].reduce((sum, { size = 0 }) => sum + size, 0)
  if (free < wanted)
    return [
      warning('disk', `${size}, while the logs may grow to ${gigabytes(wanted)}`, 'lower the sizes under retention, or take a larger disk'),
    ]
  return [ok('disk', size)]
}

/**
 * Whether the node of this configuration runs, and whether its listeners answer; else whether they could be bound.
 *
 * @param token of scope `api`, to ask a running node how it is
 */
export async function engineChecks(config: Config, token: string | undefined): Promise<readonly Diagnosis[]> {
  const { data, listen } = config
  if (isDataFolderInUse(data)) {
    const found = await Promise.all([
      attempt('engine', () => apiChecks(listen.api, token)),
      attempt('listen.ingest', () => ingestAnswers(listen.ingest)),
    ])
    return found.flat()
  }
  const addresses = [listenerCheck('listen.ingest', listen.ingest), listenerCheck('listen.api', listen.api)]
  return [warning('engine', `no node runs on ${data}`, 'cordon run starts it'), ...(await Promise.all(addresses))]
}

type Address = Config['listen']['api']

async function apiChecks(address: Address, token: string | undefined): Promise<readonly Diagnosis[]> {
  const url = listenerUrl(address)
  if (url === undefined)
    return [
      warning('engine', 'it runs; its API has a port that was free then, so it cannot be asked', 'set listen.api.port to a fixed one'),
    ]
  const alive = await ask(`${url}/livez`)
  if (typeof alive === 'string')
    return [
      problem(
        'engine',
        `a node runs, and its API at ${url} does not answer: ${alive}`,
        'see its log; is listen.api what it was at its start?',
      ),
    ]
  const running = ok('engine', `runs, API at ${url}`)
  if (token === undefined)
    return [running, warning('engine health', 'not asked, for want of a key', 'set CORDON_KEY to an API key of any role')]
  return [running, ...(await attempt('engine health', () => healthCheck(url, token)))]
}

async function healthCheck(url: string, token: string): Promise<readonly Diagnosis[]> {
  const check = 'engine health'
  const answer = await ask(`${url}/health`, { authorization: `Bearer ${token}` })
  if (typeof answer === 'string') return [problem(check, `${url}/health: ${answer}`, 'see the log of the node')]
  // 503 is the answer of a node that is not well.
  if (answer.status !== 200 && answer.status !== 503) {
    const remedy = answer.status === 401 ? 'the key in CORDON_KEY is unknown, expired or revoked' : 'see the log of the node'
    return [problem(check, `${url}/health answers ${answer.status}`, remedy)]
  }
  const { checks } = (await answer.json()) as Health
  const degraded = checks.filter(({ status }) => status === 'degraded')
  if (degraded.length === 0) return [ok(check, `${checks.length} checks are fine`)]
  return degraded.map(({ name, detail = 'degraded', remedy = 'see the log' }) => problem(`engine ${name}`, detail, remedy))
}

async function ingestAnswers(address: Address): Promise<readonly Diagnosis[]> {
  const url = listenerUrl(address)
  if (url === undefined) return []
  const answer = await ask(url)
  if (typeof answer !== 'string') return [ok('listen.ingest', `answers at ${url}`)]
  return [
    warning('listen.ingest', `nothing takes events in at ${url}: ${answer}`, 'right for a node without the role ingest; else see its log'),
  ]
}

/** The answer, or why there is none. */
async function ask(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Response | string> {
  try {
    return await fetch(url, { headers, redirect: 'error', signal: AbortSignal.timeout(ANSWER_TIMEOUT) })
  } catch (error) {
    const { cause } = error as { cause?: unknown }
    return messageOf(cause ?? error)
  }
}

/** Binds the address for a moment. */
function listenerCheck(check: string, { host, port }: Address): Promise<Diagnosis> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      const detail = taken ? `port ${port} on ${host} is taken by another program` : `cannot listen on ${host}:${port}: ${error.message}`
      resolve(problem(check, detail, taken ? `set ${check}.port to a free port, or stop what listens there` : `check ${check}`))
    })
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(ok(check, `${host}:${port} is free`))))
  })
}

function existingParent(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : existingParent(dirname(path))
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`
}
