import { type LabServer, serveLab } from '../../lab/servers/server.ts'

/** The part of Keycloak's admin API that the responders use, as test/real/keycloak.test.ts finds it at the real one. */
export function startKeycloakStandIn(secret: string): Promise<LabServer> {
  const user = { id: 'u-1', username: 'ana', email: 'ana@example.com', enabled: true, notBefore: 0, firstName: 'Ana' }
  let sessions = 2
  return serveLab({}, (record) => ({ method, path, query, headers, body }) => {
    if (path === '/realms/corp/protocol/openid-connect/token') {
      const right = new URLSearchParams(body).get('client_secret') === secret
      return right ? { status: 200, body: { access_token: 'granted-token' } } : { status: 401, body: { error: 'unauthorized_client' } }
    }
    if (headers.authorization !== 'Bearer granted-token') return { status: 401, body: { error: 'HTTP 401 Unauthorized' } }
    switch (`${method} ${path.replace('/admin/realms/corp', '')}`) {
      case 'GET ':
        return { status: 200, body: { realm: 'corp', accessTokenLifespan: 300 } }
      case 'GET /users':
        return { status: 200, body: query.get('username') === user.username && query.get('exact') === 'true' ? [user] : [] }
      case 'GET /users/u-1':
        return { status: 200, body: user }
      case 'GET /users/u-1/sessions':
        return { status: 200, body: Array.from({ length: sessions }, (_, n) => ({ id: `s-${n}` })) }
      case 'POST /users/u-1/logout': {
        // Signing out those who are signed out changes nothing but a date.
        if (sessions > 0) record({ what: 'signed out', key: user.id, about: '' })
        sessions = 0
        user.notBefore = Math.floor(Date.now() / 1_000)
        return { status: 204 }
      }
      case 'PUT /users/u-1': {
        const written = JSON.parse(body) as typeof user
        if (written.email === undefined) return { status: 400, body: { errorMessage: 'error-user-attribute-required' } }
        if (written.enabled !== user.enabled) record({ what: written.enabled ? 'enabled' : 'disabled', key: user.id, about: '' })
        Object.assign(user, written)
        return { status: 204 }
      }
      default:
        return { status: 404, body: { error: 'HTTP 404 Not Found' } }
    }
  })
}
