import { existsSync } from 'node:fs'
import { CordonError } from '../event/error.ts'
import { readSecret } from '../responders/secret.ts'
import { openEmbeddedStreams } from '../streams/embedded.ts'
import type { KafkaSettings } from '../streams/kafka/settings.ts'
import { openKafkaStreams, prepareTopics, type TopicReport } from '../streams/kafka.ts'
import type { LogName, Streams } from '../streams/log.ts'
import type { Config, KafkaConfig } from './config.ts'
import { dataPaths, lockDataFolder } from './data-folder.ts'
import { tlsOf } from './door/tls-files.ts'
import type { Parts } from './parts.ts'
import { startRetention } from './store/retention.ts'

/**
 * Opens the logs that the configuration names. The embedded ones are trimmed from here; Kafka trims its topics itself.
 *
 * @throws CordonError as `openEmbeddedStreams` or `openKafkaStreams`, `SECRET_MISSING`, `TLS_FILE`
 */
export async function openStreams({
  config,
  paths,
  metrics,
  observer,
  onClose,
}: Omit<Parts, 'audit' | 'streams' | 'bundles'>): Promise<Streams> {
  const onError = (log: LogName, worker: string, error: unknown) => {
    metrics.workerErrors.add(1, { log, worker })
    observer.onError(`${worker} on the ${log} log`, error)
  }
  if (config.streams.kind === 'kafka') {
    const streams = await openKafkaStreams(kafkaSettings(config, config.streams), onError)
    onClose(() => streams.close())
    return streams
  }
  const streams = openEmbeddedStreams({ folder: paths.streams, partitions: config.streams.partitions, onError })
  onClose(() => streams.close())
  onClose(startRetention(streams, config.retention, (error) => observer.onError('retention', error)))
  return streams
}

/**
 * Runs `work` on the logs of the configured node, beside it or without it. The embedded ones are one process's own: they can be read
 * beside the node, and written only while it is stopped.
 *
 * @throws CordonError `STREAMS_MISSING` if the node never ran; `DATA_IN_USE` where it runs and `append` is wanted; as {@link openStreams}
 */
export async function withStreams<T>(
  config: Config,
  { append }: { readonly append: boolean },
  work: (streams: Streams) => Promise<T>,
): Promise<T> {
  if (config.streams.kind === 'kafka') return closingAfter(await openKafkaStreams(kafkaSettings(config, config.streams)), work)
  const { streams: folder } = dataPaths(config.data)
  if (!existsSync(folder)) {
    throw new CordonError('STREAMS_MISSING', `there are no logs in ${config.data}`, {
      hint: 'start the node once with "cordon run", or name its configuration with --config',
    })
  }
  const unlock = append ? lockDataFolder(config.data) : () => {}
  try {
    return await closingAfter(openEmbeddedStreams({ folder, partitions: config.streams.partitions }), work)
  } finally {
    unlock()
  }
}

async function closingAfter<T>(streams: Streams, work: (streams: Streams) => Promise<T>): Promise<T> {
  try {
    return await work(streams)
  } finally {
    await streams.close()
  }
}

/**
 * Checks the topics of the configured Kafka, after creating those that are missing if `create` says so.
 *
 * @throws CordonError `STREAMS_NOT_KAFKA`, and as `prepareTopics`
 */
export async function prepareStreams(config: Config, options: { readonly create: boolean }): Promise<TopicReport> {
  if (config.streams.kind === 'kafka') return prepareTopics(kafkaSettings(config, config.streams), options)
  throw new CordonError('STREAMS_NOT_KAFKA', 'the embedded logs have no topics', {
    hint: 'set streams: { kind: kafka, brokers: [...] } in cordon.yml to run on Kafka',
  })
}

/** What the configuration says of Kafka, with its secrets. @throws CordonError `SECRET_MISSING`, `TLS_FILE` */
export function kafkaSettings({ node, retention }: Pick<Config, 'node' | 'retention'>, streams: KafkaConfig): KafkaSettings {
  const { brokers, prefix, partitions, replication, compression, tls, sasl } = streams
  return {
    brokers,
    prefix,
    partitions,
    replication,
    compression,
    clientId: node,
    retention: retention.events.age,
    tls: tls === false ? undefined : tls === true ? {} : tlsOf(tls, 'streams.tls'),
    sasl: sasl && { ...sasl, password: readSecret(sasl.password) },
  }
}
