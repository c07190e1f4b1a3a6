import { type LabRequest, type LabServer, serveLab } from '../../lab/servers/server.ts'

/** What a request did to the world, if it did anything, judged by the server's answer. */
export type EffectOf = (request: LabRequest, status: number) => { readonly what: string; readonly key: string } | undefined

/** Stands before a real server and breaks what it is told to break: the conformance kit's faults for servers that are not ours. */
export function startFaultProxy(upstream: string, effectOf: EffectOf): Promise<LabServer> {
  return serveLab({}, (record) => async (request) => {
    const { host, connection: _, 'content-length': __, ...headers } = request.headers
    const query = request.query.size === 0 ? '' : `?${request.query}`
    const response = await fetch(`${upstream}${request.path}${query}`, {
      method: request.method,
      headers: { ...(headers as Record<string, string>), 'x-forwarded-host': host ?? '' },
      redirect: 'manual',
      ...(request.body === '' ? {} : { body: request.body }),
    })
    const body = await response.text()
    const effect = effectOf(request, response.status)
    if (effect !== undefined) record({ ...effect, about: '' })
    return { status: response.status, body, headers: { 'content-type': response.headers.get('content-type') ?? 'text/plain' } }
  })
}
