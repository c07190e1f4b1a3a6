import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import type { Fault, LabEffect, LabServer } from '../../lab/servers/server.ts'
import { CordonError } from '../../src/event/error.ts'
import { identity } from '../../src/event/id.ts'
import { accessOf, type Endpoint } from '../../src/responders/endpoint.ts'
import { createHttpClient } from '../../src/responders/http.ts'
import type {
  Attempt,
  CaseFile,
  ConnectedResponder,
  Failure,
  IncidentBrief,
  Observation,
  Plan,
  Receipt,
  Responder,
  ResponderContext,
  Target,
} from '../../src/responders/responder.ts'
import { VERBS } from '../../src/sigma/ast.ts'

/** A responder's counterpart, ready to be acted upon. */
export interface Bench {
  readonly server: LabServer
  /** The configuration of the responder for it, with secrets by reference. */
  readonly config: Readonly<Record<string, unknown>>
  readonly target: Target
  /** Secrets that must not appear anywhere, by the environment variable that holds them. */
  readonly secrets: Readonly<Record<string, string>>
  /** The start of the request that acts: `PUT /v1/enqueue`. */
  readonly acts: string
  /** Requests that change nothing. */
  readonly reads: RegExp
  /** What the server records for one effect, and for its undo, by `what`. */
  readonly effect: readonly string[]
  readonly undo?: readonly string[]
  /** What Cordon holds of the incident, for a responder that keeps it. */
  readonly caseFiles?: (signal: AbortSignal) => Promise<readonly CaseFile[]>
  /** It acts on this machine: nothing stands between the act and its answer, and nothing is sent that may be lost. */
  readonly local?: true
  /** How the counterpart says no, and what that means. Default: {@link HTTP_ANSWERS}. */
  readonly answers?: readonly Refusal[]
  /** Which trial the counterpart's webhooks reach; with undefined they are lost. */
  deliver(trial: Trial | undefined): void
  stop(): Promise<void>
}

/** An answer that is not success, and how its classifier may read it. */
export interface Refusal {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly kinds: readonly Failure['kind'][]
  /** Milliseconds until it may be sent again, as the answer says. */
  readonly after?: number
}

/** What the statuses of HTTP mean to every responder: busy, broken, refused. */
export const HTTP_ANSWERS: readonly Refusal[] = [
  { status: 429, headers: { 'retry-after': '7' }, kinds: ['retry'], after: 7_000 },
  { status: 503, kinds: ['retry'] },
  { status: 502, kinds: ['unknown', 'retry'] },
  ...[301, 400, 401, 403, 404, 410, 422].map((status): Refusal => ({ status, kinds: ['final'] })),
]

export const INCIDENT: IncidentBrief = {
  id: 'inc-7f3a',
  title: 'Agent cowork read /sensitive/payroll.csv and called 203.0.113.66',
  severity: 'critical',
  status: 'open',
  openedAt: Date.parse('2026-11-20T09:00:00Z'),
  rule: 'Sensitive read, then egress to an unlisted destination',
  entity: { kind: 'device', id: 'mac-1', facts: { 'device.name': 'mac-1', 'user.name': 'ana' } },
  summary: 'The agent read a sensitive file and connected to an address that is not on the allow-list.',
  alerts: 1,
}

/** One life of Cordon as far as a responder sees it: a connection, an HTTP client, the receipts that came. */
export class Trial {
  readonly connected: ConnectedResponder
  readonly receipts = new Map<string, Receipt[]>()
  readonly #config: Endpoint

  readonly #caseFiles: NonNullable<Bench['caseFiles']>

  constructor(responder: Responder<Endpoint>, config: unknown, caseFiles: Bench['caseFiles'] = async () => []) {
    this.#caseFiles = caseFiles
    this.#config = responder.config.parse(config)
    this.connected = responder.connect(this.#config)
  }

  context(key: string, more: Partial<ResponderContext> = {}): ResponderContext {
    const { signal = new AbortController().signal } = more
    return {
      idempotencyKey: key,
      approvals: [],
      attempt: undefined,
      signal,
      http: createHttpClient(accessOf(this.#config)),
      receipts: (name) => this.receipts.get(name) ?? [],
      incident: INCIDENT,
      caseFiles: () => this.#caseFiles(signal),
      now: Date.now,
      ...more,
    }
  }

  accept(body: Uint8Array, headers: Readonly<Record<string, string>>): void {
    for (const receipt of this.connected.receive?.(body, headers) ?? []) {
      this.receipts.set(receipt.key, [...(this.receipts.get(receipt.key) ?? []), receipt])
    }
  }

  /** Runs once, as the response room would: the attempt is recorded, then sent. */
  async run(plan: Plan, key: string, act: 'run' | 'undo' = 'run'): Promise<Attempt> {
    const at = Date.now()
    const answer = await this.connected[act]!(plan, this.context(key, { attempt: { at } }))
    return { at, answer }
  }

  /** Reads back until it is decided. */
  async settle(
    plan: Plan,
    key: string,
    attempt: Attempt,
    read: 'verify' | 'verifyUndo' = 'verify',
    patience = 8_000,
  ): Promise<Observation> {
    const until = Date.now() + patience
    for (;;) {
      const observation = await this.connected[read]!(plan, this.context(key, { attempt }))
      if (observation.state !== 'pending' || Date.now() > until) return observation
      await sleep(Math.min(observation.retryAfter, 100))
    }
  }
}

/** Receives webhooks for whatever trial is current, as Cordon's API would. Answers 200 to a good signature, else 401. */
export async function startReceiver(): Promise<{ url: string; deliverTo: (trial: Trial | undefined) => void; stop: () => Promise<void> }> {
  let current: Trial | undefined
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    try {
      current?.accept(Buffer.concat(chunks), request.headers as Record<string, string>)
      response.writeHead(200).end()
    } catch {
      response.writeHead(401).end()
    }
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    deliverTo: (trial) => {
      current = trial
    },
    async stop() {
      const closed = new Promise((done) => server.close(done))
      server.closeAllConnections()
      await closed
    },
  }
}

/** A responder without webhooks refuses them all. */
function refuses(): never {
  throw new CordonError('WEBHOOK_SIGNATURE', 'this responder takes no webhooks')
}

/** What every responder must do, whatever it does. `start` gives a fresh counterpart for each test. */
export function responderKit(responder: Responder<Endpoint>, start: () => Promise<Bench>): void {
  describe(responder.name, () => {
    let bench: Bench
    let trial: Trial
    let key: string

    const begin = () => {
      const begun = new Trial(responder, bench.config, bench.caseFiles)
      bench.deliver(begun)
      return begun
    }
    const done = (): string[] => bench.server.effects.map((effect: LabEffect) => effect.what)
    const planned = () => trial.connected.plan(bench.target, trial.context(key))

    beforeEach(async () => {
      bench = await start()
      for (const [name, secret] of Object.entries(bench.secrets)) process.env[name] = secret
      trial = begin()
      key = identity('kit', responder.name)
    })
    afterEach(async () => {
      await bench.stop()
      for (const name of Object.keys(bench.secrets)) delete process.env[name]
    })

    /** Nothing that can be printed of an error shows a secret. */
    const clean = (error: unknown) => {
      const printed = [inspect(error, { depth: 10, showHidden: true }), JSON.stringify(error), String(error)].join('\n')
      for (const secret of Object.values(bench.secrets)) {
        expect(printed).not.toContain(secret)
        expect(printed).not.toContain(Buffer.from(secret).toString('base64'))
      }
    }
    const failure = async (work: Promise<unknown>): Promise<Failure> => {
      const error: unknown = await work.then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      expect(error).toMatchObject({ code: expect.stringMatching(/^[A-Z0-9]+(_[A-Z0-9]+)+$/), message: expect.stringMatching(/.{10}/) })
      clean(error)
      const judged = trial.connected.classify(error)
      clean(judged)
      return judged
    }

    test('describes itself: verb, rights, an example that its own schema takes, a page of documentation that says what was run', () => {
      expect(responder.name).toMatch(/^[a-z][a-z0-9-]+$/)
      expect(VERBS).toContain(responder.verb)
      expect(responder.title.length).toBeGreaterThan(10)
      expect(responder.permissions.length).toBeGreaterThan(0)
      expect(responder.config.parse(parseYaml(responder.example))).toMatchObject(parseYaml(responder.example))
      expect(() => responder.config.parse({ ...parseYaml(responder.example), nonsense: 1 })).toThrow()
      expect(() => responder.config.parse({ ...parseYaml(responder.example), url: 'http://example.com', allow_private: false })).toThrow()
      const page = readFileSync(new URL(`../../docs/guides/responders/${responder.name}.md`, import.meta.url), 'utf8')
      expect(page).toMatch(/\*(run against the real server|contract-tested)\*/)
      expect(trial.connected.undo !== undefined).toBe(responder.reversible)
      expect(trial.connected.verifyUndo !== undefined).toBe(responder.reversible)
    })

    test('names the place of a secret that is missing', () => {
      for (const name of Object.keys(bench.secrets)) {
        const secret = process.env[name]
        delete process.env[name]
        expect(() => begin()).toThrow(expect.objectContaining({ code: 'SECRET_MISSING', message: expect.stringContaining(name) }))
        process.env[name] = secret
      }
    })

    test('check and plan change nothing, and a plan is plain data', async () => {
      await trial.connected.check(trial.context(key))
      const plan = await planned()
      expect(done()).toEqual([])
      for (const line of bench.server.requests) expect(line).toMatch(bench.reads)
      expect(JSON.parse(JSON.stringify(plan))).toEqual(plan)
      expect(await planned()).toEqual(plan)
      expect(plan.summary.length).toBeGreaterThan(10)
      clean(plan)
    })

    test('a target without the facts that it needs is refused', async () => {
      if (responder.needs.length === 0) return
      const nothing = { ...bench.target, facts: {} }
      expect(await failure(trial.connected.plan(nothing, trial.context(key)))).toMatchObject({ kind: 'final' })
    })

    test('acts, and reads back what it did', async () => {
      const plan = await planned()
      const before = await trial.connected.verify(plan, trial.context(key, { attempt: { at: Date.now() } }))
      expect(before.state).not.toBe('present')
      const attempt = await trial.run(plan, key)
      clean(attempt)
      const seen = await trial.settle(plan, key, attempt)
      expect(seen).toMatchObject({ state: 'present', proof: expect.stringMatching(/.{10}/) })
      expect(done()).toEqual(bench.effect)
    })

    test('the same key acts once, however often it is sent', async () => {
      const plan = await planned()
      await trial.run(plan, key)
      const attempt = await trial.run(plan, key)
      expect(await trial.settle(plan, key, attempt)).toMatchObject({ state: 'present' })
      const last = await trial.run(plan, key)
      expect(await trial.settle(plan, key, last)).toMatchObject({ state: 'present' })
      expect(done()).toEqual(bench.effect)
    })

    test('undoes what it did, once, and reads that back', async () => {
      if (!responder.reversible) return
      const plan = await planned()
      await trial.settle(plan, key, await trial.run(plan, key))
      const undoKey = identity('kit', responder.name, 'undo')
      const early = await trial.connected.verifyUndo!(plan, trial.context(undoKey, { attempt: { at: Date.now() } }))
      expect(early.state).not.toBe('absent')
      const undone = await trial.run(plan, undoKey, 'undo')
      expect(await trial.settle(plan, undoKey, undone, 'verifyUndo')).toMatchObject({ state: 'absent' })
      await trial.run(plan, undoKey, 'undo')
      expect(done()).toEqual([...bench.effect, ...(bench.undo ?? [])])
    })

    test('stops when it is told to', async () => {
      const plan = await planned()
      const before = bench.server.requests.length
      const stopped = AbortSignal.abort()
      await expect(trial.connected.run(plan, trial.context(key, { signal: stopped }))).rejects.toThrow()
      expect(bench.server.requests.length).toBe(before)
      bench.server.fault({ on: bench.acts, kind: 'delay', milliseconds: 3_000, times: 9 })
      const stop = new AbortController()
      setTimeout(() => stop.abort(), 50)
      const started = Date.now()
      await expect(trial.connected.run(plan, trial.context(key, { signal: stop.signal }))).rejects.toThrow()
      expect(Date.now() - started).toBeLessThan(1_000)
    })

    test('asks nothing more once it is told to stop', async () => {
      const plan = await planned()
      const before = bench.server.requests.length
      const context = trial.context(key, { attempt: { at: Date.now() }, signal: AbortSignal.abort() })
      const { connected } = trial
      const reads = [() => connected.check(context), () => connected.plan(bench.target, context), () => connected.verify(plan, context)]
      for (const read of reads) await read().catch(clean)
      expect(bench.server.requests.length).toBe(before)
    })

    test('tells busy from broken from refused, and repeats no secret that an answer repeats', async () => {
      const plan = await planned()
      const echo = { errors: Object.values(bench.secrets), error: Object.values(bench.secrets).join(' ') }
      for (const { kinds, after, ...answer } of bench.answers ?? HTTP_ANSWERS) {
        bench.server.fault({ on: bench.acts, kind: 'answer', ...answer, body: JSON.stringify(echo) })
        const judged = await failure(trial.connected.run(plan, trial.context(key, { attempt: { at: Date.now() } })))
        expect(kinds, `${answer.status}: ${judged.reason}`).toContain(judged.kind)
        if (after !== undefined) expect(judged).toMatchObject({ after })
      }
    })

    test('a server that is down has been sent nothing; one that hangs up may have acted', async () => {
      const plan = await planned()
      bench.server.fault({ on: bench.acts, kind: 'drop-before' })
      expect(await failure(trial.connected.run(plan, trial.context(key, { attempt: { at: Date.now() } })))).toMatchObject({
        kind: bench.local ? 'retry' : 'unknown',
      })
      await bench.server.stop()
      expect(await failure(trial.connected.run(plan, trial.context(key, { attempt: { at: Date.now() } })))).toMatchObject({ kind: 'retry' })
    })

    test('takes no webhook that is not signed', () => {
      fc.assert(
        fc.property(fc.uint8Array(), fc.option(fc.base64String()), (body, signature) => {
          const headers: Record<string, string> =
            signature === null ? {} : { 'x-hmac-signature': signature, 'webhook-signature': `v1,${signature}` }
          expect(() => trial.connected.receive?.(body, headers) ?? refuses()).toThrow(
            expect.objectContaining({ code: 'WEBHOOK_SIGNATURE' }),
          )
        }),
      )
    })

    test('classifies whatever is thrown', () => {
      fc.assert(
        fc.property(fc.anything({ withNullPrototype: true, withBigInt: true }), (thrown) => {
          expect(['retry', 'unknown', 'final']).toContain(trial.connected.classify(thrown).kind)
        }),
      )
    })

    const crashes: readonly Fault['kind'][] = ['drop-before', 'drop-after']
    for (const kind of crashes) {
      test(`killed after sending, ${kind === 'drop-after' ? 'and the server had acted' : 'and nothing had arrived'}: read back, then acted exactly once`, async () => {
        const plan = await planned()
        bench.server.fault({ on: bench.acts, kind } as Fault)
        // A while ago: starting again takes time.
        const at = Date.now() - 10_000
        const run = trial.connected.run(plan, trial.context(key, { attempt: { at } }))
        // What acts here has its answer at once: only the record of it can be lost.
        await (bench.local && kind === 'drop-after' ? run : expect(run).rejects.toThrow())

        bench.deliver(undefined)
        await sleep(400)
        trial = begin()
        let attempt: Attempt = { at }
        let seen = await trial.settle(plan, key, attempt)
        if (seen.state === 'absent') {
          attempt = await trial.run(plan, key)
          seen = await trial.settle(plan, key, attempt)
        } else expect(kind).toBe('drop-after')
        expect(seen).toMatchObject({ state: 'present' })
        expect(done()).toEqual(bench.effect)
      })
    }
  })
}
