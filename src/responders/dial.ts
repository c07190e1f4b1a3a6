import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket } from 'node:net'
import { CordonError } from '../event/error.ts'
import { refusedAddress } from './address.ts'
import type { Endpoint } from './endpoint.ts'

/** Longest wait for a connection, in milliseconds. */
const CONNECT_TIMEOUT = 3_000

/**
 * Opens a connection to the server that a responder names, for what is not HTTP. The addresses that were checked are the ones connected to.
 *
 * @throws CordonError `HTTP_REFUSED_HOST`, `VENDOR_CONNECT`; nothing was sent
 */
export async function dial(endpoint: Endpoint, defaultPort: number, signal: AbortSignal): Promise<Socket> {
  const { host, hostname, port } = new URL(endpoint.url)
  const literal = hostname.replace(/^\[|\]$/g, '')
  const cannot = (why: string) =>
    new CordonError('VENDOR_CONNECT', `cannot connect to ${host} (${why})`, { hint: 'is the server running, and is the address right?' })
  const addresses =
    isIP(literal) === 0 ? await lookup(literal, { all: true }).catch((error) => raise(cannot(error.code))) : [{ address: literal }]
  for (const { address } of addresses) {
    const refusal = refusedAddress(address, endpoint.allow_private === true)
    if (refusal === undefined) continue
    throw new CordonError('HTTP_REFUSED_HOST', `${host} (${address}) is ${refusal}`, {
      hint: 'if this is a server of your own network, set allow_private: true in the configuration of this responder',
    })
  }
  if (signal.aborted) throw cannot('stopped')
  const limit = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT)])
  const socket = connect({ host: addresses[0]!.address, port: Number(port) || defaultPort })
  return new Promise<Socket>((ready, failed) => {
    const give = (why: string) => {
      socket.destroy()
      failed(cannot(why))
    }
    const late = () => give(signal.aborted ? 'stopped' : `no connection within ${CONNECT_TIMEOUT} ms`)
    const broken = (error: NodeJS.ErrnoException) => give(error.code ?? error.message)
    limit.addEventListener('abort', late, { once: true })
    socket.once('error', broken)
    socket.once('connect', () => {
      limit.removeEventListener('abort', late)
      socket.off('error', broken)
      ready(socket)
    })
  })
}

function raise(error: Error): never {
  throw error
}
