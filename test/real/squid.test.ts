import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { afterAll, expect, test, vi } from 'vitest'
import { normaliserFor } from '../../src/normalise/index.ts'
import { FileTail } from '../../src/sources/file-tail.ts'
import type { Delivery, Intake } from '../../src/sources/source.ts'
import { realOrSkip } from './servers/server.ts'
import { startSquid } from './servers/squid.ts'

const REFUSED = 'paste.example.org'
const { server: squid, note } = await realOrSkip('Squid', () => startSquid(REFUSED))
const site = createServer((_, response) => response.end('done'))
await new Promise<void>((ready) => site.listen(0, '127.0.0.1', ready))
const { port } = site.address() as AddressInfo
afterAll(async () => {
  site.close()
  await squid?.stop()
})

/** What the tail hands over, normalised. */
class Taken implements Intake {
  readonly events: ReturnType<ReturnType<typeof normaliserFor>['normalise']>[number]['ecs'][] = []

  framer() {
    return normaliserFor('squid').framer()
  }

  async accept({ records }: Delivery) {
    for (const record of records) {
      if ('reason' in record) throw new Error(`line ${record.line}: ${record.reason}: ${record.text}`)
      this.events.push(
        ...normaliserFor('squid')
          .normalise(record.value)
          .map(({ ecs }) => ecs),
      )
    }
    return { accepted: records.length, duplicates: 0, deadLettered: 0, errors: [] }
  }
}

function through(options: { readonly method?: string; readonly path: string; readonly headers?: Readonly<Record<string, string>> }) {
  const { hostname, port: proxyPort } = new URL(squid!.url)
  return new Promise<void>((done, fail) => {
    const sent = request({ ...options, host: hostname, port: proxyPort, agent: false })
    sent.on('connect', (_, socket) => {
      socket.destroy()
      done()
    })
    sent.on('response', (response) => response.resume().on('end', done))
    sent.on('error', fail)
    sent.end()
  })
}

/** A request as a client writes it that keeps to no rule. */
function raw(text: Buffer): Promise<void> {
  const { hostname, port: proxyPort } = new URL(squid!.url)
  return new Promise((done, fail) => {
    const socket = connect(Number(proxyPort), hostname, () => socket.write(text))
    socket.resume().on('close', done).on('error', fail)
  })
}

test.skipIf(squid === undefined)(`Squid's log, written as the guide says, is read line by line, whatever clients send${note}`, async () => {
  const taken = new Taken()
  const tail = new FileTail({
    path: squid!.log,
    name: 'squid',
    source: 'squid',
    intake: taken,
    from: 'start',
    onProblem: (problem) => expect.unreachable(problem.message),
  })
  tail.start()
  await through({ path: `http://127.0.0.1:${port}/a/b.zip`, headers: { 'user-agent': 'ua "quoted" \\ back' } })
  await through({ method: 'CONNECT', path: `127.0.0.1:${port}` })
  await through({ method: 'CONNECT', path: `${REFUSED}:443` })
  await raw(
    Buffer.concat([
      Buffer.from(`GET http://localhost:${port}/ HTTP/1.1\r\nHost: localhost\r\nUser-Agent: caf`),
      Buffer.from([0xe9, 1]),
      Buffer.from('\r\nConnection: close\r\n\r\n'),
    ]),
  )
  const by = (agent: string) => taken.events.find((ecs) => (ecs.user_agent as { original?: string } | undefined)?.original === agent)
  const acts = () =>
    taken.events.map(({ event, url }) => `${(event as { action: string }).action} ${(url as { original: string }).original}`)
  await vi.waitFor(() => expect(by('caf\u00e9\u0001')).toBeDefined(), { timeout: 20_000 })
  await tail.stop()

  expect(acts()).toEqual(expect.arrayContaining([`TCP_TUNNEL 127.0.0.1:${port}`, `TCP_DENIED ${REFUSED}:443`]))
  expect(by('ua "quoted" \\ back')).toMatchObject({
    event: { outcome: 'success' },
    url: { path: '/a/b.zip', extension: 'zip' },
    destination: { ip: '127.0.0.1', port },
    source: { ip: '127.0.0.1' },
  })
  expect(by('caf\u00e9\u0001')).toMatchObject({ destination: { domain: 'localhost', ip: '127.0.0.1' } })
  const denied = taken.events.find(({ event }) => (event as { action: string }).action === 'TCP_DENIED')
  expect(denied).toMatchObject({
    event: { outcome: 'failure', type: ['connection', 'denied'] },
    destination: { domain: REFUSED, port: 443 },
  })
})
