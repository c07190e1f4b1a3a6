import { Hono } from 'hono'
import { httpJson } from './http-json.ts'
import { type Door, type ListenerEnv, listenerGuard } from './listener-guard.ts'
import { type OtlpOptions, otlpHttp } from './otlp-http.ts'

/** The ingest listener: the guard before everything, then each HTTP source's routes. */
export function createIngestApp(door: Door, settings: Omit<OtlpOptions, 'refused'>): Hono<ListenerEnv> {
  const options: OtlpOptions = { ...settings, refused: (reason) => door.refused(reason) }
  const app = new Hono<ListenerEnv>()
  app.use(listenerGuard(door))
  app.route('/', httpJson(options))
  app.route('/', otlpHttp(options))
  app.notFound((c) => c.json({ error: 'no such path; events go to POST /v1/events, OpenTelemetry logs to POST /v1/logs' }, 404))
  return app
}
