import { createHmac, randomBytes } from 'node:crypto'
import { parse } from 'plist'
import { AppleDevice } from './apple-device.ts'
import { type LabAnswer, type LabOptions, type LabRequest, type LabServer, serveLab } from './server.ts'

export interface LabMdmOptions extends LabOptions {
  readonly apiKey: string
  /** UDIDs of the enrolled, simulated devices. */
  readonly devices: readonly string[]
  /** Where reports go, and the key that signs them. */
  readonly webhook?: { readonly url: string; readonly key: string }
  /** A device connects so long after a push, in milliseconds: at least, at most. Default 150 and 300. */
  readonly wake?: readonly [number, number]
  /** False: there is no APNs certificate, every push fails, and devices come by themselves after the same time. */
  readonly push?: boolean
}

export interface LabMdm extends LabServer {
  device(udid: string): AppleDevice
}

interface Queued {
  readonly uuid: string
  readonly type: string
  readonly xml: string
  notNow: boolean
}

/** After NotNow a device asks again by itself. */
const NOT_NOW_WAIT = 1_000

/**
 * A small MDM server that speaks nanomdm's API (v0.9.0) and webhook, with simulated devices inside. Where nanomdm surprises, so does
 * this: a device that nobody knows is accepted; a command's UUID is taken once, ever; a failed push answers 500 although the command
 * is queued; the outcome comes by webhook only, and a webhook that fails is not repeated.
 */
export async function startLabMdm(options: LabMdmOptions): Promise<LabMdm> {
  const devices = new Map(options.devices.map((udid) => [udid, new AppleDevice(udid)]))
  const queues = new Map<string, Queued[]>()
  const seen = new Set<string>()
  const timers = new Set<NodeJS.Timeout>()
  const [least, most] = options.wake ?? [150, 300]
  const canPush = options.push ?? true

  const wake = (udid: string, after = least + Math.random() * (most - least)) => {
    const timer = setTimeout(() => {
      timers.delete(timer)
      const device = devices.get(udid)
      if (device !== undefined && device.mood !== 'silent') connect(device)
    }, after)
    timers.add(timer)
  }

  /** One connection of a device: report, take the next command, report on it, until there is none. */
  const connect = (device: AppleDevice) => {
    let report = device.idle()
    for (let command = take(device.udid, report); command !== undefined; command = take(device.udid, report))
      report = device.answer(command.xml)
  }

  /** Takes a report, and gives out the next command: after NotNow, one that has not been put off yet. */
  const take = (udid: string, reportXml: string): Queued | undefined => {
    const report = parse(reportXml) as { Status: string; CommandUUID?: string }
    const queue = queues.get(udid) ?? []
    const index = queue.findIndex((command) => command.uuid === report.CommandUUID)
    if (index >= 0 && report.Status === 'NotNow') {
      queue[index]!.notNow = true
      wake(udid, NOT_NOW_WAIT)
    } else if (index >= 0) queue.splice(index, 1)
    tell(udid, report, reportXml)
    return queue.find((command) => !(report.Status === 'NotNow' && command.notNow))
  }

  const tell = (udid: string, report: { Status: string; CommandUUID?: string }, reportXml: string) => {
    const { webhook } = options
    if (webhook === undefined) return
    const body = JSON.stringify({
      acknowledge_event: {
        ...(report.CommandUUID === undefined ? {} : { command_uuid: report.CommandUUID }),
        ids: { id: udid, type: 'Device' },
        raw_payload: Buffer.from(reportXml).toString('base64'),
        status: report.Status,
        udid,
      },
      created_at: new Date().toISOString(),
      event_id: randomBytes(8).toString('hex'),
      topic: 'mdm.Connect',
    })
    const signature = createHmac('sha256', webhook.key).update(body).digest('base64')
    const headers = { 'content-type': 'application/json; charset=utf-8', 'x-hmac-signature': signature }
    // As nanomdm: told once, and whoever did not listen has to ask.
    fetch(webhook.url, { method: 'POST', body, headers }).catch(() => undefined)
  }

  const server = await serveLab(options, (record) => {
    const enqueue = (udids: readonly string[], request: LabRequest): LabAnswer => {
      const silent = request.query.has('nopush')
      const noPush = silent ? { no_push: true } : {}
      if (request.body === '')
        return silent ? { status: 500, body: { ...noPush, command_error: 'must enqueue or push' } } : { status: 200, body: {} }
      const command = readCommand(request.body)
      if (command === undefined) return { status: 500, body: { command_error: 'decoding command: parse error' } }
      const about = { command_uuid: command.uuid, request_type: command.type }
      if (seen.has(command.uuid)) return { status: 500, body: { command_error: `command already exists: ${command.uuid}`, ...about } }
      seen.add(command.uuid)
      for (const udid of udids) {
        queues.set(udid, [...(queues.get(udid) ?? []), { ...command, notNow: false }])
        if (command.type !== 'ProfileList') record({ what: `queued ${command.type}`, key: command.uuid, about: udid })
        if (!silent || !canPush) wake(udid)
      }
      if (silent) return { status: 200, body: { ...noPush, ...about } }
      const result = (udid: string) =>
        canPush && devices.has(udid) ? { push_result: randomBytes(16).toString('hex') } : { push_error: 'push data missing for id' }
      const status = Object.fromEntries(udids.map((udid) => [udid, result(udid)]))
      const failures = Object.values(status).filter((entry) => 'push_error' in entry).length
      return { status: failures === 0 ? 200 : failures === udids.length ? 500 : 207, body: { status, ...about } }
    }

    return (request) => {
      if (request.path === '/version') return { status: 200, body: { version: 'lab' } }
      if (!request.path.startsWith('/v1/')) return { status: 404, body: '404 page not found\n' }
      const expected = `Basic ${Buffer.from(`nanomdm:${options.apiKey}`).toString('base64')}`
      if (request.headers.authorization !== expected) {
        return { status: 401, body: 'Unauthorized\n', headers: { 'www-authenticate': 'Basic realm="nanomdm"' } }
      }
      const path = /^\/v1\/enqueue\/(.+)$/.exec(request.path)
      if (path === null) return { status: 404, body: '404 page not found\n' }
      return enqueue(path[1]!.split(','), request)
    }
  })

  return {
    ...server,
    device(udid) {
      const device = devices.get(udid)
      if (device === undefined) throw new Error(`no device ${udid} is enrolled`)
      return device
    },
    async stop() {
      for (const timer of timers) clearTimeout(timer)
      await server.stop()
    },
  }
}

function readCommand(xml: string): { uuid: string; type: string; xml: string } | undefined {
  try {
    const command = parse(xml) as { CommandUUID?: string; Command?: { RequestType?: string } }
    if (!command.CommandUUID || !command.Command?.RequestType) return undefined
    return { uuid: command.CommandUUID, type: command.Command.RequestType, xml }
  } catch {
    return undefined
  }
}
