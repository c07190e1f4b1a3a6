/** How a cluster is reached, and what ours is called in it. Secrets are values here: whoever reads the configuration resolves them. */
export interface ElasticsearchSettings {
  /** `http(s)://host:port` of nodes that take requests; they are used in turn. No others are looked for. */
  readonly urls: readonly string[]
  /** Where it stands in the configuration, for hints: `store`, if left out. */
  readonly setting?: string
  /** Before the name of every index, template and alias: `cordon-` makes `cordon-alerts-2026.03.01`. */
  readonly prefix: string
  readonly auth?: ElasticsearchAuth | undefined
  readonly tls?: ElasticsearchTls | undefined
  /** Whether requests are sent gzipped, and answers asked for so. */
  readonly compression: boolean
}

export type ElasticsearchAuth =
  | { readonly username: string; readonly password: string }
  /** Base64 of `id:api_key`, as Elasticsearch shows it when a key is made. */
  | { readonly apiKey: string }

/** PEM texts. Without `ca` the system's authorities are trusted. */
export interface ElasticsearchTls {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** The name in the nodes' certificates, if it is not the host of their URLs. */
  readonly serverName?: string | undefined
}
