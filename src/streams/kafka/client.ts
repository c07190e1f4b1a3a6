import { promisify } from 'node:util'
import { zstdCompress, zstdDecompress } from 'node:zlib'
import kafkajs, { type KafkaConfig, type Producer, type SASLOptions } from 'kafkajs'
import { RequestQueue, restWhenIdle } from './request-queue.ts'
import type { Compression, KafkaSettings, KafkaTls } from './settings.ts'

/*
 * kafkajs is used through this file, where its defaults do not fit: it retries for minutes, gives up a member after 30 s, logs to the
 * console, reads zstd only if it is told how, and wakes every connection a thousand times a second.
 */
const { CompressionCodecs, CompressionTypes, Kafka, logLevel, Partitioners } = kafkajs

export const COMPRESSION: Readonly<Record<Compression, number>> = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  zstd: CompressionTypes.ZSTD,
}

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder: { readonly buffer: Buffer }) => compress(encoder.buffer),
  decompress: (buffer: Buffer) => decompress(buffer),
})

restWhenIdle(RequestQueue)

/** Short and few: whoever called tries again, or starts over. */
const RETRY = { initialRetryTime: 100, multiplier: 2, factor: 0.2, maxRetryTime: 1_000 }
const CONNECTION = { connectionTimeout: 3_000, authenticationTimeout: 5_000, requestTimeout: 10_000 }

/** How long a broker waits for a member's heartbeat. With the restart of a consumer it stays well below 30 s. */
const SESSION = { sessionTimeout: 10_000, heartbeatInterval: 1_000, rebalanceTimeout: 20_000 }
const METADATA_AGE = 30_000
const FETCH = { minBytes: 1, maxBytes: 8 * 1024 * 1024, maxBytesPerPartition: 1024 * 1024, maxWaitTimeInMs: 500 }

export type KafkaClient = ReturnType<typeof createClient>

/** Makes the clients that the parts of the Kafka streams use. Nothing is connected yet. */
export function createClient(settings: KafkaSettings) {
  const config = connectionConfig(settings)
  const kafka = new Kafka(config)
  return {
    admin: () => kafka.admin({ retry: { ...RETRY, retries: 2 } }),
    /**
     * A producer that keeps the order and writes nothing twice: idempotent, one request in flight, acknowledged by all in-sync
     * replicas. It tries for about twenty seconds.
     */
    producer: (): Producer =>
      kafka.producer({
        idempotent: true,
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        createPartitioner: Partitioners.DefaultPartitioner,
        metadataMaxAge: METADATA_AGE,
        retry: { ...RETRY, retries: 20 },
      }),
    /** A member of a group. It never restarts by itself: its owner builds another, which is one way of recovery, not two. */
    consumer: (groupId: string) =>
      kafka.consumer({
        groupId,
        ...SESSION,
        ...FETCH,
        allowAutoTopicCreation: false,
        metadataMaxAge: METADATA_AGE,
        retry: { ...RETRY, retries: 5, restartOnFailure: async () => false },
      }),
    config,
  }
}

/** The partition of a key, as Java's default partitioner chooses it (murmur2), so that other producers' records join ours. */
export function partitionOfKey(key: string, partitions: number): number {
  if (partitions === 1) return 0
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({ ...EVERYWHERE, partitionId }))
  return choose({ topic: '', partitionMetadata, message: { key, value: null } })
}

const choose = Partitioners.DefaultPartitioner()
const EVERYWHERE = { partitionErrorCode: 0, leader: 0, replicas: [], isr: [] }

function connectionConfig({ brokers, clientId, tls, sasl }: KafkaSettings): KafkaConfig {
  return {
    brokers: [...brokers],
    clientId,
    ...CONNECTION,
    enforceRequestTimeout: true,
    retry: { ...RETRY, retries: 2 },
    // What matters comes as an error or an event; the rest is noise, such as "Crash" while a fresh broker loads its groups.
    logLevel: logLevel.NOTHING,
    ...(tls === undefined ? {} : { ssl: tlsOptions(tls) }),
    ...(sasl === undefined ? {} : { sasl: { ...sasl } as SASLOptions }),
  }
}

function tlsOptions({ ca, cert, key, serverName }: KafkaTls) {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  }
}
