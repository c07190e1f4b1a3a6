import { randomBytes } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseDocument, type YAMLMap, type YAMLSeq } from 'yaml'
import { Inventory } from '../src/context/inventory.ts'
import { loadConfig } from '../src/engine/config.ts'
import type { FreshKeys } from '../src/engine/door/keys.ts'
import { type Engine, startEngine } from '../src/engine/engine.ts'
import { createLog } from '../src/engine/log.ts'
import type { EngineObserver } from '../src/engine/observer.ts'
import { reviewGrant } from '../src/engine/rules/grants.ts'
import { loadPolicy } from '../src/response/policy-file.ts'
import { type LabMdm, startLabMdm } from './servers/mdm.ts'
import { type LabPaging, startLabPaging } from './servers/paging.ts'
import { type LabTokens, startLabTokens } from './servers/tokens.ts'

/** The lab while it runs: the real engine, and around it small servers that stand for an organisation's MDM, token broker and paging. */
export interface Site {
  readonly engine: Engine
  /** Tokens of the engine's two front doors. */
  readonly keys: FreshKeys
  readonly mdm: LabMdm
  readonly broker: LabTokens
  readonly paging: LabPaging
  /** The id of the device that has this name in its telemetry. */
  deviceNamed(name: string): string
  /** What the lab keeps for itself; removed by `stop`. */
  readonly folder: string
  readonly configFile: string
  readonly logFile: string
  /** Ports that it would have liked and did not get. */
  readonly taken: readonly number[]
  stop(): Promise<void>
}

/** Starts the lab in a new folder. What the engine has to say goes to a file there, and to `observer`. */
export async function openSite(observer: EngineObserver): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-lab-'))
  const closing: (() => Promise<void> | void)[] = [() => rmSync(folder, { recursive: true, force: true })]
  const stop = async () => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  try {
    const configFile = join(folder, 'cordon.yml')
    const inventoryFile = join(folder, 'inventory.yml')
    cpSync(join(import.meta.dirname, 'policy'), join(folder, 'policy'), { recursive: true })
    cpSync(join(import.meta.dirname, 'inventory.yml'), inventoryFile)
    const config = parseDocument(readFileSync(join(import.meta.dirname, 'cordon.yml'), 'utf8'))

    const taken: number[] = []
    const port = async (listener: 'ingest' | 'api') => {
      const preferred = config.getIn(['listen', listener, 'port']) as number
      const free = await freePort(preferred)
      if (free !== preferred) taken.push(preferred)
      config.setIn(['listen', listener, 'port'], free)
      return free
    }
    await port('ingest')
    const apiPort = await port('api')

    const secret = (name: string) => {
      const value = randomBytes(24).toString('base64url')
      process.env[name] = value
      return value
    }
    const apiKey = secret('CORDON_LAB_MDM_KEY')
    const key = secret('CORDON_LAB_WEBHOOK_KEY')
    const rootToken = secret('CORDON_LAB_TOKENS_KEY')
    const inventory = Inventory.parse(readFileSync(inventoryFile, 'utf8'), inventoryFile, Date.now())
    const mdm = await startLabMdm({
      apiKey,
      devices: inventory.devices.flatMap(({ mdm_id }) => mdm_id ?? []),
      webhook: { url: `http://127.0.0.1:${apiPort}/hooks/nanomdm-quarantine`, key },
    })
    closing.push(mdm.stop)
    const broker = await startLabTokens({ rootToken })
    closing.push(broker.stop)
    const paging = await startLabPaging()
    closing.push(paging.stop)
    const addresses = new Map([
      ['nanomdm-quarantine', mdm.url],
      ['openbao-revoke-tokens', broker.url],
      ['alertmanager-incident', paging.url],
    ])
    for (const responder of (config.get('responders') as YAMLSeq<YAMLMap>).items)
      responder.set('url', addresses.get(responder.get('use') as string))
    writeFileSync(configFile, config.toString())

    const loaded = loadConfig(configFile)
    for (const rule of new Set(loadPolicy(loaded.policy).grants.map((grant) => grant.rule)))
      reviewGrant(loaded, rule).renew('the lab', Date.now())
    const logFile = join(folder, 'engine.log')
    const engine = await startEngine(loaded, both(createLog(loaded, logFile), observer))
    closing.push(engine.stop)
    return {
      engine,
      keys: engine.freshTokens!,
      mdm,
      broker,
      paging,
      deviceNamed: (name) => inventory.deviceNamed(name)!.id,
      folder,
      configFile,
      logFile,
      taken,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The port, or any that is free if it is taken. */
async function freePort(preferred: number): Promise<number> {
  const attempt = (port: number) =>
    new Promise<number | undefined>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(undefined))
      server.listen(port, '127.0.0.1', () => {
        const { port: got } = server.address() as { port: number }
        server.close(() => resolve(got))
      })
    })
  return (await attempt(preferred)) ?? (await attempt(0))!
}

function both(one: EngineObserver, other: EngineObserver): EngineObserver {
  return {
    onAlert(revision) {
      one.onAlert(revision)
      other.onAlert(revision)
    },
    onChange(change) {
      one.onChange(change)
      other.onChange(change)
    },
    onError(where, error) {
      one.onError(where, error)
      other.onError(where, error)
    },
    onNote(where, text) {
      one.onNote(where, text)
      other.onNote(where, text)
    },
  }
}
