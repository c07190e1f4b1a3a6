import { setTimeout as sleep } from 'node:timers/promises'
import { Client, Serializer, type TransportRequestOptions } from '@elastic/elasticsearch'
import type { CordonError } from '../../event/error.ts'
import { parseJson, stringifyJson } from '../../event/json.ts'
import { ByteRoom } from './byte-room.ts'
import { type Failure, failureOf, isPassing, namedError } from './errors.ts'
import type { ElasticsearchSettings, ElasticsearchTls } from './settings.ts'

/*
 * @elastic/elasticsearch is used through this file, where its defaults do not fit: it waits without end, repeats what failed whether
 * that is safe or not, rounds integers beyond 2^53, and its errors carry whole requests.
 */

/** Milliseconds to connect: a host that is gone must not be waited for. */
const CONNECT_TIMEOUT = 2_000
const TIMEOUT = 5_000
const PATIENCE = 3_000
const FIRST_WAIT = 50
const LONGEST_WAIT = 1_000
/** Bytes of documents that may be under way at once. */
const ROOM = 64 * 1024 * 1024

export interface RequestLimits {
  /** Milliseconds for one attempt; 5 s by default. */
  readonly timeout?: number
  /** Milliseconds after the first attempt in which others may begin; 3 s by default. */
  readonly patience?: number
}

/** One request, by a call of the client, which must be given the options. */
export type Send<T> = (client: Client, options: TransportRequestOptions) => Promise<T>

/** One cluster, by all of its nodes that are configured. It may be gone and come back at any time. */
export class Elasticsearch {
  /** Before the name of everything that is ours there. */
  readonly prefix: string
  /** What bulk writers share: who has many documents waits for room. */
  readonly room = new ByteRoom(ROOM)
  readonly #client: Client
  readonly #secrets: readonly string[]
  readonly #setting: string | undefined

  /** Connects to nothing yet. */
  constructor(settings: ElasticsearchSettings) {
    this.prefix = settings.prefix
    this.#client = new Client(optionsOf(settings))
    this.#secrets = secretsOf(settings)
    this.#setting = settings.setting
  }

  /**
   * Sends a request, and again where it failed for a reason that passes. So every request given to it must be one that may be
   * repeated: a read, or a write that names its document and what it replaces.
   *
   * @param what for the message of an error: `reading effect e1`
   * @throws CordonError `STORE_…` (docs/reference/errors.md)
   */
  request<T>(what: string, send: Send<T>, { timeout = TIMEOUT, patience }: RequestLimits = {}): Promise<T> {
    const attempt = async () => {
      try {
        return await send(this.#client, { requestTimeout: timeout })
      } catch (error) {
        const failure = failureOf(error)
        throw failure === undefined ? error : this.error(failure, what)
      }
    }
    return persist(attempt, patience)
  }

  /** A failure under a name of ours, without the secrets of this cluster. */
  error(failure: Failure, what: string): CordonError {
    return namedError(failure, what, this.#secrets, this.#setting)
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}

/** Tries until it succeeds, fails for a reason that does not pass, or `patience` is over. */
export async function persist<T>(attempt: () => Promise<T>, patience = PATIENCE): Promise<T> {
  const end = Date.now() + patience
  for (let bound = FIRST_WAIT; ; bound = Math.min(2 * bound, LONGEST_WAIT)) {
    try {
      return await attempt()
    } catch (error) {
      const wait = bound * (0.5 + Math.random() / 2)
      if (!isPassing(error) || Date.now() + wait > end) throw error
      await sleep(wait)
    }
  }
}

/** No digit of an integer is lost on the way. */
class ExactSerializer extends Serializer {
  override serialize(object: unknown): string {
    return stringifyJson(object)
  }

  override deserialize<T>(json: string): T {
    return parseJson(json) as T
  }
}

function optionsOf({ urls, auth, tls, compression }: ElasticsearchSettings): ConstructorParameters<typeof Client>[0] {
  return {
    nodes: [...urls],
    name: 'cordon',
    // One way of repeating, ours, which knows what passes.
    maxRetries: 0,
    compression,
    enableMetaHeader: false,
    Serializer: ExactSerializer,
    // Without TLS, too, this is where connecting has its limit.
    tls: { ...tlsOptions(tls), timeout: CONNECT_TIMEOUT },
    ...(auth === undefined ? {} : { auth: { ...auth } }),
  }
}

function tlsOptions({ ca, cert, key, serverName }: ElasticsearchTls = {}) {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  }
}

/** As they may come back in an answer: plain, or as they were sent. */
function secretsOf({ auth }: ElasticsearchSettings): readonly string[] {
  if (auth === undefined) return []
  if ('apiKey' in auth) return [auth.apiKey]
  return [auth.password, Buffer.from(`${auth.username}:${auth.password}`).toString('base64')]
}
