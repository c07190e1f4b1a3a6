import { CordonError, messageOf } from '../../event/error.ts'

/** What kafkajs throws, as far as it says anything. */
interface KafkaFailure {
  readonly name?: string
  readonly type?: string
  readonly code?: string | number
  readonly message?: string
  readonly cause?: unknown
  readonly errors?: readonly unknown[]
}

interface Named {
  readonly code: string
  readonly when: (failure: KafkaFailure) => boolean
  readonly says: string
  readonly hint: string
}

export const UNREACHABLE_HINT =
  'check streams.brokers and the way to them, and that streams.tls is set if and only if they speak TLS; it is tried again by itself'

/** The first that fits, from the particular to the general. */
const NAMED: readonly Named[] = [
  {
    code: 'STREAMS_CREDENTIALS',
    when: ({ name, type }) => name === 'KafkaJSSASLAuthenticationError' || type === 'SASL_AUTHENTICATION_FAILED',
    says: 'Kafka refuses the credentials',
    hint: 'check streams.sasl: mechanism, username and password must be those of a user that the brokers know',
  },
  {
    code: 'STREAMS_TLS',
    when: ({ code, message = '' }) =>
      /CERT|SIGNED|SSL|ALTNAME|EPROTO/.test(String(code)) || /certificate|wrong version number|SSL routines|altnames/i.test(message),
    says: 'no TLS connection to Kafka',
    hint: 'check streams.tls: whether this port speaks TLS, and ca and server_name against the brokers’ certificate',
  },
  {
    code: 'STREAMS_FORBIDDEN',
    when: ({ type = '' }) => type.endsWith('_AUTHORIZATION_FAILED'),
    says: 'Kafka forbids it',
    hint: 'give the user Read, Write, Describe and DescribeConfigs on the topics of streams.prefix, Read on its groups, and IdempotentWrite on the cluster; "cordon topics" needs Create too',
  },
  {
    code: 'STREAMS_REPLICATION',
    when: ({ type }) => type === 'INVALID_REPLICATION_FACTOR',
    says: 'there are fewer brokers than copies wanted',
    hint: 'lower streams.replication, or start more brokers',
  },
  {
    code: 'STREAMS_REPLICAS',
    when: ({ type = '' }) => type.startsWith('NOT_ENOUGH_REPLICAS'),
    says: 'too few replicas are in sync',
    hint: 'start the brokers that are missing: nothing is acknowledged until min.insync.replicas have it',
  },
  {
    code: 'STREAMS_RECORD_TOO_LARGE',
    when: ({ type }) => type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE',
    says: 'a record is larger than its topic takes',
    hint: 'raise max.message.bytes of the topic: "cordon topics --check" names the value',
  },
  {
    code: 'STREAMS_TOPIC_MISSING',
    when: ({ type }) => type === 'UNKNOWN_TOPIC_OR_PARTITION',
    says: 'a topic is missing',
    hint: 'run "cordon topics" to create it',
  },
  {
    code: 'STREAMS_LOADING',
    when: ({ type = '' }) => /LOAD_IN_PROGRESS|COORDINATOR_NOT_AVAILABLE|NOT_COORDINATOR/.test(type),
    says: 'the brokers are still loading their groups',
    hint: 'wait: a broker that has just started does so for some seconds, and it is tried again by itself',
  },
  {
    code: 'STREAMS_UNREACHABLE',
    when: ({ name = '', code }) =>
      /Connection|RequestTimeout|BrokerNotFound|NoBroker|LockTimeout/.test(name) || /^E[A-Z]+$/.test(String(code)),
    says: 'no Kafka broker answers',
    hint: UNREACHABLE_HINT,
  },
]

/** An error of kafkajs under a name of ours, with what to do about it. Errors that are named already stay as they are. */
export function namedError(error: unknown, what: string): CordonError {
  if (error instanceof CordonError) return error
  const causes = causesOf(error)
  for (const { code, when, says, hint } of NAMED) {
    const found = causes.find(when)
    if (found !== undefined) return new CordonError(code, `${what}: ${says}: ${messageOf(found)}`, { hint, cause: error })
  }
  return new CordonError('STREAMS_KAFKA', `${what}: ${messageOf(error)}`, {
    hint: 'look at the brokers’ log; it is tried again',
    cause: error,
  })
}

/** The error and what it wraps: kafkajs wraps what made it give up. */
export function causesOf(error: unknown): readonly KafkaFailure[] {
  const found: KafkaFailure[] = []
  const queue: unknown[] = [error]
  while (queue.length > 0 && found.length < 20) {
    const failure = queue.shift()
    if (typeof failure !== 'object' || failure === null) continue
    found.push(failure)
    queue.push((failure as KafkaFailure).cause, ...((failure as KafkaFailure).errors ?? []))
  }
  return found
}
