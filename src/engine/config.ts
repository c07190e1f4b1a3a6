import { existsSync, readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { KINDS, REST_KIND } from '../privacy/kind.ts'
import { ENCRYPTED_HINT, encrypted } from '../responders/endpoint.ts'
import { type SecretRef, secretRef } from '../responders/secret.ts'
import { duration } from '../settings/duration.ts'
import { readSettings, type Settings } from '../settings/settings-file.ts'
import type { RuleRoot } from './rules/rule-files.ts'
import { isSchedule } from './store/schedule.ts'

/** Rules and policy that come with Cordon; `builtin` in a configuration names them. */
export const PACKAGE_ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const BUILTIN = 'builtin'

/** Rules of the optional package `agent-threat-rules`. */
const PACKAGED = 'package'
const agentThreatRules = z
  .strictObject({
    atr: z.string(),
    status: z.array(z.enum(['draft', 'experimental', 'stable', 'deprecated'])).default(['stable']),
  })
  .transform(({ atr, status }): RuleRoot => ({ path: atr, status }))

const bytes = z
  .union([z.number().int().positive(), z.string().regex(/^\d+ ?(KB|MB|GB)$/, 'a size such as 512MB or 20GB')])
  .transform((size) =>
    typeof size === 'number' ? size : Number.parseInt(size, 10) * { K: 1e3, M: 1e6, G: 1e9 }[/[KMG]/.exec(size)![0] as 'K' | 'M' | 'G'],
  )
const port = z.number().int().min(0).max(65_535)

const listener = (defaultPort: number) =>
  z.strictObject({
    host: z.string().default('127.0.0.1'),
    port: port.default(defaultPort),
    /** Host names that a request may be addressed to besides loopback: anything else is refused (DNS rebinding). */
    hosts: z.array(z.string()).default([]),
  })

const anySource = {
  /** Normaliser: `linux.auditd`, `ecs.passthrough` … Recognised by itself where it is left out. */
  source: z.string().optional(),
  /** Device id of records that name none, such as a host's own audit log. */
  device: z.string().optional(),
  /** Where what was never read before begins. */
  from: z.enum(['start', 'end']).default('end'),
}
const fileSource = z.strictObject({ type: z.literal('file'), path: z.string(), ...anySource })

/** Paths of PEM files. Without `ca` the system's authorities are trusted. */
const tlsFiles = z.strictObject({
  ca: z.string().optional(),
  cert: z.string().optional(),
  key: z.string().optional(),
  server_name: z.string().optional(),
})

const partitions = z.number().int().min(1).max(64)
const embeddedStreams = z.strictObject({ kind: z.literal('embedded').default('embedded'), partitions: partitions.default(1) })
const kafkaStreams = z.strictObject({
  kind: z.literal('kafka'),
  /** `host:port` of some brokers; the others are learned from them. */
  brokers: z.array(z.string().regex(/^.+:\d{1,5}$/, 'a broker is host:port')).min(1),
  /** Before the name of every topic and consumer group. */
  prefix: z
    .string()
    .regex(/^[\w.-]{0,100}$/, 'letters, digits, ".", "_" and "-" only')
    .default('cordon.'),
  /** Of the events and signals topics; fixed once they exist. */
  partitions: partitions.default(6),
  /** Copies of each record; by default three, or as many as there are brokers. */
  replication: z.number().int().min(1).max(9).optional(),
  compression: z.enum(['none', 'gzip', 'zstd']).default('zstd'),
  /** `true` trusts the system's authorities. */
  tls: z.union([z.boolean(), tlsFiles]).default(false),
  sasl: z
    .strictObject({ mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']), username: z.string(), password: secretRef })
    .optional(),
})

/** How a cluster of Elasticsearch is reached. */
const cluster = {
  /** `http(s)://host:port` of nodes that take requests, used in turn. */
  urls: z.array(z.url({ protocol: /^https?$/, error: 'expected a URL such as https://es-1.example.com:9200' })).min(1),
  auth: z.union([z.strictObject({ username: z.string(), password: secretRef }), z.strictObject({ api_key: secretRef })]).optional(),
  tls: tlsFiles.optional(),
  compression: z.boolean().default(false),
}
const elasticsearchSource = z.strictObject({
  type: z.literal('elasticsearch'),
  /** The sender of its events: another name makes others of the same documents. */
  name: z.string().min(1).optional(),
  ...cluster,
  /** Index, alias, data stream or pattern. */
  index: z.string().min(1),
  query: z.string().optional(),
  time_field: z.string().default('event.ingested'),
  /** Between two looks. */
  every: duration.default(10_000),
  /** Longest time from a document's time until it can be found. */
  overlap: duration.default(60_000),
  ...anySource,
})
const embeddedStore = z.strictObject({ kind: z.literal('embedded').default('embedded') })
const elasticsearchStore = z.strictObject({
  kind: z.literal('elasticsearch'),
  ...cluster,
  /** Before the name of every index, template and alias. */
  prefix: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,60}$/, 'lower case letters, digits, ".", "_" and "-" only, beginning with a letter or digit')
    .default('cordon-'),
})

const logLimits = z.strictObject({ age: duration.optional(), size: bytes.optional() }).prefault({})

/** Shown what the grants allow, and may say no or ask people. */
const policyAsCode = z.union(
  [
    z.strictObject({ wasm: z.string() }),
    z
      .strictObject({
        /** Address of the decision in a running Open Policy Agent. */
        opa: z.url({ protocol: /^https?$/ }),
        allow_private: z.boolean().default(false),
        token: secretRef.optional(),
        timeout: duration.default(2_000),
      })
      .refine(({ opa, allow_private }) => encrypted({ url: opa, allow_private }), { ...ENCRYPTED_HINT, path: ['opa'] }),
  ],
  { error: 'expected wasm: FILE, or opa: URL' },
)

/** cordon.yml, as docs/reference/configuration.md has it. Unknown keys are refused: a typo must not switch off a quarantine. */
export const configSchema = z.strictObject({
  /** Shown at start and on every line of the log, so that a lab or staging run is never taken for the real thing. */
  label: z.string().optional(),
  data: z.string().default('./data'),
  /** Of a cluster's nodes each has its own. */
  node: z.string().min(1).default(hostname),
  /** The tokens' file, where nodes share one. */
  tokens: z.string().optional(),
  listen: z.strictObject({ ingest: listener(4318).prefault({}), api: listener(4319).prefault({}) }).prefault({}),
  sources: z
    .array(z.discriminatedUnion('type', [fileSource, elasticsearchSource], { error: 'expected type: file or elasticsearch' }))
    .default([])
    .refine(haveOwnNames, 'two sources of the same index need a name each'),
  rules: z.array(z.union([z.string(), agentThreatRules])).default([BUILTIN, './rules']),
  policy: z.string().default('./policy'),
  policy_as_code: policyAsCode.optional(),
  inventory: z.string().optional(),
  posture: z
    .strictObject({
      /** Tokens, `file:<path>` and `webhook:<responder>` whose word on posture counts; everybody's, if left out. */
      senders: z.array(z.string().min(1)).optional(),
    })
    .prefault({}),
  /** Which paths are classified how, where the inventory does not say it. */
  labels: z.string().optional(),
  responders: z.array(z.looseObject({ use: z.string(), name: z.string().optional() })).default([]),
  /** Files and folders that describe responders. */
  responder_files: z.array(z.string()).default([BUILTIN]),
  /** Links by which people of the policy answer: where this API is reached from outside, and what signs them. */
  approval_links: z.strictObject({ url: z.url({ protocol: /^https?$/ }), key: secretRef }).optional(),
  incidents: z.strictObject({ join_within: duration.default(86_400_000) }).prefault({}),
  streams: z.discriminatedUnion('kind', [embeddedStreams, kafkaStreams], { error: 'expected kind: embedded or kafka' }).prefault({}),
  store: z
    .discriminatedUnion('kind', [embeddedStore, elasticsearchStore], { error: 'expected kind: embedded or elasticsearch' })
    .prefault({}),
  privacy: z
    .strictObject({
      enabled: z.boolean().default(true),
      /** Kinds that are not looked for. */
      except: z.array(z.enum(KINDS)).default([]),
      /** What else is looked for. */
      patterns: z
        .array(
          z.strictObject({
            /** As it stands in the place of what was found. */
            kind: z
              .string()
              .regex(/^[a-z][a-z0-9_]{0,40}$/, 'lower case letters, digits and "_" only')
              .refine((kind) => ![...KINDS, REST_KIND].includes(kind), 'Cordon has a kind of this name'),
            class: z.enum(['pii', 'secret']),
            /** As RE2 has it. */
            pattern: z.string().min(1),
          }),
        )
        .default([]),
    })
    .prefault({}),
  /** How often correlation state leaves the node. */
  checkpoints: z.strictObject({ every: duration.default(60_000) }).prefault({}),
  retention: z
    .strictObject({
      events: z.strictObject({ age: duration.default(7 * 86_400_000), size: bytes.default(20e9) }).prefault({}),
      /** Of the other embedded logs: as events, where it is left out. */
      signals: logLimits,
      alerts: logLimits,
      dead_letters: logLimits,
      /** Of the daily indices in Elasticsearch, counted from the end of their day. */
      indices: z
        .strictObject({
          /** As in the logs, if left out. */
          events: duration.optional(),
          /** For good, if left out. */
          alerts: duration.optional(),
          /** Together, on the cluster's disks: the oldest days go first, and never the one that is not over. No limit, if left out. */
          events_size: bytes.optional(),
          alerts_size: bytes.optional(),
          /** When they are looked at: a cron expression, in UTC. */
          at: z.string().refine(isSchedule, 'expected a cron expression such as "17 * * * *"').default('17 * * * *'),
        })
        .prefault({}),
    })
    .prefault({}),
  trust: z
    .strictObject({
      /** File with the public keys that may sign rules and policy. Without it nothing has to be signed. */
      keys: z.string().optional(),
      /** The signature of the rules. */
      rules: z.string().default('./rules.sig'),
    })
    .prefault({}),
  audit: z
    .strictObject({
      /** Folder on another disk or machine: checkpoints of the audit log, and the hashes of its entries, are kept there, too. */
      witness: z.string().optional(),
    })
    .prefault({}),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') }).prefault({}),
})

export type Config = Readonly<z.infer<typeof configSchema>>
export type KafkaConfig = z.infer<typeof kafkaStreams>
export type FileSourceConfig = z.infer<typeof fileSource>
export type ElasticsearchSourceConfig = z.infer<typeof elasticsearchSource>
export type ClusterConfig = z.infer<z.ZodObject<typeof cluster>>
export type TlsConfig = z.infer<typeof tlsFiles>

/** Under which a poll source's events and its progress are known. */
export function pollName({ name, index }: Pick<ElasticsearchSourceConfig, 'name' | 'index'>): string {
  return `elasticsearch:${name ?? index}`
}

function haveOwnNames(sources: readonly (FileSourceConfig | ElasticsearchSourceConfig)[]): boolean {
  const names = sources.flatMap((source) => (source.type === 'elasticsearch' ? [pollName(source)] : []))
  return new Set(names).size === names.length
}

/**
 * Reads and checks a configuration. Relative paths in it are resolved from its own folder.
 *
 * @throws CordonError `CONFIG_NOT_FOUND`, `CONFIG_YAML`, `CONFIG_INVALID`, the last two with the place of every mistake
 */
export function loadConfig(path: string): Config {
  return readConfig(path).data
}

/** As {@link loadConfig}, with where it says what. */
export function readConfig(path: string): Settings<Config> {
  const file = resolve(path)
  if (!existsSync(file)) {
    throw new CordonError('CONFIG_NOT_FOUND', `no configuration at ${path}`, {
      hint: 'run "cordon init" to write a commented one here, or name one with --config',
    })
  }
  const { data, at } = readSettings(path, readFileSync(file, 'utf8'), configSchema, {
    notYaml: 'CONFIG_YAML',
    invalid: 'CONFIG_INVALID',
    hint: 'docs/reference/configuration.md lists every key with its default',
  })
  return { data: resolvePaths(data, dirname(file)), at }
}

function resolvePaths(config: z.infer<typeof configSchema>, folder: string): Config {
  const from = (path: string, builtin: string) => (path === BUILTIN ? resolve(PACKAGE_ROOT, builtin) : resolve(folder, path))
  return {
    ...config,
    data: resolve(folder, config.data),
    sources: config.sources.map((source) =>
      source.type === 'file' ? { ...source, path: resolve(folder, source.path) } : clusterPaths(source, folder),
    ),
    rules: config.rules.map((root): RuleRoot => {
      if (typeof root === 'string') return from(root, 'rules')
      return { ...root, path: root.path === PACKAGED ? packagedAgentThreatRules() : resolve(folder, root.path) }
    }),
    policy: from(config.policy, 'policy'),
    ...(config.policy_as_code === undefined ? {} : { policy_as_code: policyPaths(config.policy_as_code, folder, from) }),
    responder_files: config.responder_files.map((path) => from(path, 'responders')),
    streams: config.streams.kind === 'kafka' ? kafkaPaths(config.streams, folder) : config.streams,
    store: config.store.kind === 'elasticsearch' ? clusterPaths(config.store, folder) : config.store,
    trust: {
      rules: resolve(folder, config.trust.rules),
      ...(config.trust.keys === undefined ? {} : { keys: resolve(folder, config.trust.keys) }),
    },
    audit: config.audit.witness === undefined ? {} : { witness: resolve(folder, config.audit.witness) },
    ...(config.inventory === undefined ? {} : { inventory: resolve(folder, config.inventory) }),
    ...(config.labels === undefined ? {} : { labels: resolve(folder, config.labels) }),
    ...(config.approval_links === undefined
      ? {}
      : { approval_links: { ...config.approval_links, key: secretPath(config.approval_links.key, folder) } }),
    ...(config.tokens === undefined ? {} : { tokens: resolve(folder, config.tokens) }),
  }
}

/** Where npm has put the rules of the optional package. @throws CordonError `ATR_NOT_INSTALLED` */
export function packagedAgentThreatRules(): string {
  try {
    return join(dirname(findPackageJSON('agent-threat-rules', import.meta.url)!), 'rules')
  } catch (cause) {
    throw new CordonError('ATR_NOT_INSTALLED', 'the package agent-threat-rules is not installed', {
      hint: 'run "npm install" without --omit=optional, or name a folder that has its rules: { atr: ./folder }',
      cause,
    })
  }
}

function policyPaths(
  policy: z.infer<typeof policyAsCode>,
  folder: string,
  from: (path: string, builtin: string) => string,
): z.infer<typeof policyAsCode> {
  if ('wasm' in policy) return { wasm: from(policy.wasm, 'policy/rego/policy.wasm') }
  return policy.token === undefined ? policy : { ...policy, token: secretPath(policy.token, folder) }
}

function kafkaPaths(config: KafkaConfig, folder: string): KafkaConfig {
  const { tls, sasl } = config
  return {
    ...config,
    tls: typeof tls === 'object' ? tlsPaths(tls, folder) : tls,
    ...(sasl === undefined ? {} : { sasl: { ...sasl, password: secretPath(sasl.password, folder) } }),
  }
}

function clusterPaths<T extends ClusterConfig>(config: T, folder: string): T {
  const { auth, tls } = config
  return {
    ...config,
    ...(tls === undefined ? {} : { tls: tlsPaths(tls, folder) }),
    ...(auth === undefined
      ? {}
      : {
          auth:
            'password' in auth ? { ...auth, password: secretPath(auth.password, folder) } : { api_key: secretPath(auth.api_key, folder) },
        }),
  }
}

function tlsPaths(tls: TlsConfig, folder: string): TlsConfig {
  const resolved = { ...tls }
  for (const key of ['ca', 'cert', 'key'] as const) if (tls[key] !== undefined) resolved[key] = resolve(folder, tls[key])
  return resolved
}

function secretPath(secret: SecretRef, folder: string): SecretRef {
  return 'file' in secret ? { file: resolve(folder, secret.file) } : secret
}
