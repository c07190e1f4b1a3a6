import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'plist'
import { AppleDevice } from '../../../lab/servers/apple-device.ts'
import type { RealMdm } from './nanomdm.ts'
import { run } from './server.ts'

const TOPIC = 'com.apple.mgmt.External.test'

export interface EnrolledDevice {
  readonly device: AppleDevice
  /** Connects once: reports, and does commands until there are none. */
  poll(): Promise<void>
  /** Connects every so many milliseconds. */
  start(every: number): void
  stop(): Promise<void>
}

/** A simulated Apple device that enrols in a real MDM server and speaks the MDM protocol to it, with an identity certificate of its own. */
export async function enrolDevice(mdm: RealMdm, udid: string): Promise<EnrolledDevice> {
  const certificate = await identityCertificate(mdm, udid)
  const device = new AppleDevice(udid)
  let timer: NodeJS.Timeout | undefined
  let polling: Promise<void> = Promise.resolve()

  const send = async (body: string, checkin: boolean): Promise<string> => {
    const type = checkin ? 'application/x-apple-aspen-mdm-checkin' : 'application/x-apple-aspen-mdm'
    const response = await fetch(`${mdm.url}/mdm`, {
      method: 'PUT',
      body,
      headers: { 'content-type': type, 'x-device-cert': `:${certificate}:`, connection: 'close' },
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`the MDM server answers ${response.status} ${text}`)
    return text
  }

  await send(
    build({
      MessageType: 'Authenticate',
      UDID: udid,
      Topic: TOPIC,
      DeviceName: udid,
      Model: 'Mac15,3',
      ProductName: 'macOS',
      SerialNumber: `SIM${udid}`,
    }),
    true,
  )
  await send(build({ MessageType: 'TokenUpdate', UDID: udid, Topic: TOPIC, PushMagic: udid, Token: Buffer.from(udid) }), true)

  const connect = async () => {
    if (device.mood === 'silent') return
    for (let command = await send(device.idle(), false); command !== ''; ) command = await send(device.answer(command), false)
  }
  const poll = () => {
    polling = polling.then(connect)
    return polling
  }
  return {
    device,
    poll,
    start(every) {
      const again = () => {
        timer = setTimeout(() => void poll().finally(() => timer !== undefined && again()), every)
      }
      again()
    },
    async stop() {
      clearTimeout(timer)
      timer = undefined
      await polling
    },
  }
}

/** An EC certificate from the server's CA, as base64 DER. */
async function identityCertificate(mdm: RealMdm, udid: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cordon-device-'))
  try {
    const [key, request, certificate] = ['device.key', 'device.csr', 'device.crt'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ]
    await run('openssl', [
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      `/CN=${udid}`,
      '-keyout',
      key,
      '-out',
      request,
    ])
    await run('openssl', [
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      mdm.ca.certificate,
      '-CAkey',
      mdm.ca.key,
      '-CAcreateserial',
      '-days',
      '30',
      '-out',
      certificate,
    ])
    return (await readFile(certificate, 'utf8')).replace(/-----[^-]+-----|\s/g, '')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
