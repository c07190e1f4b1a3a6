import { z } from 'zod'
import { classify, statusFailure, VendorError } from '../../src/responders/failure.ts'
import { createHttpClient } from '../../src/responders/http.ts'
import type { ConnectedResponder, Responder, ResponderContext } from '../../src/responders/responder.ts'
import type { Link } from '../../src/response/vendor.ts'
import { TIMEOUT } from './isolation-vendor.ts'

type Details = { readonly device: string; readonly key: string }

/** Isolates a device through {@link IsolationVendor}, by Cordon's own HTTP client. */
export function isolationLink(url: string): Link {
  const connected = connect(url)
  const responder: Responder = {
    name: 'isolation',
    title: 'Isolate a device',
    verb: 'quarantine_device',
    effect: 'contain',
    reversible: true,
    target: 'device',
    needs: [],
    permissions: [],
    config: z.unknown(),
    example: '',
    repeatable: false,
    timeout: TIMEOUT,
    confirmWithin: 60_000,
    connect: () => connected as ConnectedResponder,
  }
  const { host } = new URL(url)
  return {
    name: 'isolation',
    responder,
    connected: connected as ConnectedResponder,
    http: createHttpClient({ allowedHosts: [host], allowPrivate: [host] }),
  }
}

function connect(url: string): ConnectedResponder<Details> {
  const ask = async (context: ResponderContext, { device, key }: Details, act?: 'isolate' | 'release') => {
    const response = await context.http.request({
      method: act === undefined ? 'GET' : 'POST',
      url: `${url}/${device}${act === undefined ? '' : `/${act}`}`,
      headers: { 'x-key': key },
      timeout: TIMEOUT,
      signal: context.signal,
    })
    if (response.status >= 300) throw new VendorError(statusFailure(response, `the vendor answers ${response.status}`))
    return response
  }
  return {
    check: async () => {},
    plan: async (target, context) => ({ summary: '', calls: [], details: { device: target.id, key: context.idempotencyKey } }),
    run: async ({ details }, context) => ({ status: (await ask(context, details, 'isolate')).status }),
    undo: async ({ details }, context) => ({ status: (await ask(context, details, 'release')).status }),
    async verify({ details }, context) {
      const { isolatedBy } = JSON.parse((await ask(context, details)).body) as { isolatedBy: string | null }
      if (isolatedBy === null) return { state: 'absent', proof: 'not isolated' }
      const proof = `isolated by ${isolatedBy}`
      return { state: 'present', proof, ...(isolatedBy === details.key ? {} : { foreign: proof }) }
    },
    classify,
  }
}
