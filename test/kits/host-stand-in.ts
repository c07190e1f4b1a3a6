import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault, LabEffect, LabServer } from '../../lab/servers/server.ts'
import { digest } from '../../src/event/id.ts'

export interface StandInHost extends LabServer {
  /** Way to it, for a responder's settings. */
  readonly host: { readonly url: string; readonly key: string; readonly known_hosts: string; readonly ssh: string }
}

type Request = { readonly do: string } & Readonly<Record<string, unknown>>
/** What a request leads to: the answer's result, and what it did, if it did anything. */
export type Act = (request: Request) => { readonly result: object; readonly did?: string }

/** Speaks as `host/cordon-host` does, behind a plain connection in place of SSH. Faults of kind `answer` are the host's "refused" (403) and "failed" (503). */
export async function startHostStandIn(act: Act): Promise<StandInHost> {
  const requests: string[] = []
  const effects: LabEffect[] = []
  const faults: { fault: Fault; left: number }[] = []
  const sockets = new Set<Socket>()
  const faultFor = (line: string): Fault | undefined => {
    const found = faults.find(({ fault, left }) => left > 0 && line.startsWith(fault.on ?? ''))
    if (found !== undefined) found.left--
    return found?.fault
  }
  const handle = async (socket: Socket, line: string) => {
    const request = JSON.parse(line) as Request
    requests.push(request.do)
    const fault = faultFor(request.do)
    if (fault?.kind === 'drop-before') return socket.destroy()
    const say = (answer: object) => socket.end(`${JSON.stringify(answer)}\n`)
    if (fault?.kind === 'answer') return say({ ok: false, code: fault.status === 503 ? 'failed' : 'refused', message: String(fault.body) })
    const { result, did } = act(request)
    if (did !== undefined) effects.push({ at: Date.now(), what: did, key: String(request.key ?? ''), about: '' })
    if (fault?.kind === 'drop-after') return socket.destroy()
    if (fault?.kind === 'delay') await sleep(fault.milliseconds)
    return say({ ok: true, result })
  }
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    let input = ''
    socket.setEncoding('utf8').on('data', (text: string) => {
      input += text
      if (input.endsWith('\n')) handle(socket, input)
    })
    socket.write('{"cordon": 1}\n')
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const { port } = server.address() as AddressInfo
  const here = (name: string) => join(import.meta.dirname, name)
  const url = `ssh://cordon@127.0.0.1:${port}`
  return {
    url,
    host: { url, key: here('ssh-stand-in.mjs'), known_hosts: here('ssh-stand-in.mjs'), ssh: here('ssh-stand-in.mjs') },
    requests,
    effects,
    fault: (fault) => void faults.push({ fault, left: fault.times ?? 1 }),
    async stop() {
      const closed = new Promise((done) => server.close(done))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** How a host says no. */
export const HOST_ANSWERS = [
  { status: 503, kinds: ['retry'] as const },
  { status: 403, kinds: ['final'] as const },
]

/** A firewall's set of blocked addresses, by owner. */
export function egressActs(): Act {
  const blocked = new Map<string, string>()
  return (request) => {
    const [address, key] = [String(request.address), String(request.key)]
    const look = () => ({ blocked: blocked.has(address), owner: blocked.get(address) ?? '', expires: 3600, packets: 0 })
    if (request.do === 'ping') return { result: { operations: ['egress.block', 'egress.release', 'egress.look'] } }
    if (request.do === 'egress.block' && !blocked.has(address)) {
      blocked.set(address, key)
      return { result: look(), did: 'blocked' }
    }
    if (request.do === 'egress.release' && blocked.get(address) === key) {
      blocked.delete(address)
      return { result: look(), did: 'released' }
    }
    return { result: look() }
  }
}

/** A device on which one process group of an agent runs. */
export function agentActs(): Act {
  let owner: string | undefined
  return (request) => {
    const look = () => ({ groups: [{ pid: 4711, started: 1, stopped: owner !== undefined, ours: owner === request.key }] })
    if (request.do === 'agent.pause' && owner === undefined) {
      owner = String(request.key)
      return { result: look(), did: 'stopped' }
    }
    if (request.do === 'agent.resume' && owner === request.key) {
      owner = undefined
      return { result: look(), did: 'continued' }
    }
    return { result: look() }
  }
}

/** A device whose agent heeds managed settings, of which each effect has a file. */
export function settingsActs(): Act {
  const files = new Set<string>()
  return (request) => {
    const key = String(request.key)
    const look = () => ({
      restricted: files.size > 0,
      ours: files.has(key),
      changed: false,
      others: [...files].filter((other) => other !== key),
    })
    if (request.do === 'settings.restrict' && !files.has(key)) {
      files.add(key)
      return { result: look(), did: 'restricted' }
    }
    if (request.do === 'settings.lift' && files.delete(key)) return { result: look(), did: 'lifted' }
    return { result: look() }
  }
}

/** A device that packs what an agent is doing, once for each key. */
export function evidenceActs(): Act {
  const packed = new Map<string, Buffer>()
  return (request) => {
    const key = String(request.key)
    if (request.do !== 'evidence.collect') return { result: { operations: ['evidence.collect', 'evidence.look'] } }
    const known = packed.get(key)
    const archive = known ?? Buffer.from(`what ${String(request.agent)} did until ${packed.size}`)
    packed.set(key, archive)
    const result = { collected: true, bytes: archive.length, sha256: digest(archive), archive: archive.toString('base64') }
    return known === undefined ? { result, did: 'collected' } : { result }
  }
}
