/** How brokers are reached and what their topics are like. Secrets are values here: whoever reads the configuration resolves them. */
export interface KafkaSettings {
  /** `host:port` of some brokers; the others are learned from them. */
  readonly brokers: readonly string[]
  /** Before the name of every topic and group: `cordon.` makes `cordon.events`. */
  readonly prefix: string
  /** How this client is named in brokers' logs and quotas. */
  readonly clientId: string
  /** Partitions of the events and signals topics. Fixed once they exist: keys would move otherwise. */
  readonly partitions: number
  /** Milliseconds that a topic keeps its records, at least. */
  readonly retention: number
  /** Copies of each record; three where there are that many brokers. */
  readonly replication?: number | undefined
  readonly compression: Compression
  readonly tls?: KafkaTls | undefined
  readonly sasl?: KafkaSasl | undefined
}

export type Compression = 'none' | 'gzip' | 'zstd'

/** PEM texts. Without `ca` the system's authorities are trusted; `cert` and `key` are for brokers that ask for a client certificate. */
export interface KafkaTls {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** The name that the brokers' certificates must have, where it is not the host name. */
  readonly serverName?: string | undefined
}

export interface KafkaSasl {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: string
  readonly password: string
}

/** Bytes of one record's JSON. Above it an append is refused, before anything is sent. */
export const MAX_RECORD_BYTES = 64 * 1024 * 1024
