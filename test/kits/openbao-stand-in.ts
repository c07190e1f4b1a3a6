import { type LabAnswer, type LabServer, serveLab } from '../../lab/servers/server.ts'

const DENIED: LabAnswer = { status: 403, body: { errors: ['permission denied'] } }
const data = (value: unknown): LabAnswer => ({ status: 200, body: { data: value } })

/** OpenBao's leases and transit keys as test/real/openbao.test.ts finds them at the real one: prefixes that hold leases, keys by version. */
export function startOpenbaoStandIn(token: string, leases: readonly string[], keys: Record<string, number>): Promise<LabServer> {
  const live = new Set(leases)
  return serveLab({}, (record) => ({ method, path, query, headers, body }) => {
    if (headers['x-vault-token'] !== token) return DENIED
    if (path === '/v1/sys/capabilities-self') {
      const { paths } = JSON.parse(body) as { paths: string[] }
      return data(Object.fromEntries(paths.map((one) => [one, ['root']])))
    }
    const [, prefix] = /^\/v1\/sys\/leases\/lookup\/(.+\/)$/.exec(path) ?? []
    if (method === 'GET' && prefix !== undefined && query.get('list') === 'true') {
      const below = [...live].filter((lease) => lease.startsWith(prefix))
      return below.length === 0 ? { status: 404, body: { errors: [] } } : data({ keys: below.map((lease) => lease.slice(prefix.length)) })
    }
    const [, revoked] = /^\/v1\/sys\/leases\/revoke-prefix\/(.+)$/.exec(path) ?? []
    if (method === 'POST' && revoked !== undefined) {
      const gone = [...live].filter((lease) => lease.startsWith(`${revoked}/`))
      for (const lease of gone) live.delete(lease)
      if (gone.length > 0) record({ what: 'revoked prefix', key: revoked, about: '' })
      return { status: 204 }
    }
    const [, key = '', act] = /^\/v1\/transit\/keys\/([\w-]+)(\/rotate)?$/.exec(path) ?? []
    const version = keys[key]
    if (version === undefined) return { status: 404, body: { errors: [] } }
    if (method === 'GET') return data({ latest_version: version, min_decryption_version: 1 })
    if (method !== 'POST' || act === undefined) return { status: 405, body: { errors: [] } }
    keys[key] = version + 1
    record({ what: 'rotated', key, about: '' })
    return { status: 204 }
  })
}
