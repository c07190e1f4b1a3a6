import { readSecret } from '../../responders/secret.ts'
import { Elasticsearch } from '../../stores/elasticsearch/client.ts'
import type { ElasticsearchAuth } from '../../stores/elasticsearch/settings.ts'
import type { ClusterConfig } from '../config.ts'
import { tlsOf } from '../door/tls-files.ts'

/**
 * A client of a configured cluster; it connects when it is first used.
 *
 * @param prefix before the name of what is ours there
 * @param setting where the cluster stands in the configuration, for hints
 * @throws CordonError `SECRET_MISSING`, `TLS_FILE`
 */
export function connectElasticsearch({ urls, auth, tls, compression }: ClusterConfig, prefix: string, setting: string): Elasticsearch {
  return new Elasticsearch({ urls, prefix, setting, auth: auth && authOf(auth), tls: tls && tlsOf(tls, `${setting}.tls`), compression })
}

function authOf(auth: NonNullable<ClusterConfig['auth']>): ElasticsearchAuth {
  if ('password' in auth) return { username: auth.username, password: readSecret(auth.password) }
  return { apiKey: readSecret(auth.api_key) }
}
