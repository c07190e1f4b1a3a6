import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import type { AlertRevision, Entity } from '../detectors/alert.ts'
import { digest, identity } from '../event/id.ts'
import type { ConnectedResponder, Failure, Observation, Responder, ResponderContext } from '../responders/responder.ts'
import type { DetectionRule, Extension, Rule, RulePart, Verb } from '../sigma/ast.ts'
import { openEmbeddedLedger } from '../stores/embedded-ledger.ts'
import type { Ledger } from '../stores/ledger.ts'
import { type AlertsWorker, type AlertsWorkerPorts, alertsWorker } from './alerts-worker.ts'
import { NO_APPROVALS } from './approval.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Effect } from './effect.ts'
import type { Asset } from './guards.ts'
import type { AskOpinion } from './opinion.ts'
import type { Grant, Policy } from './policy.ts'
import type { Change, RecordingPorts } from './recording.ts'
import type { Audit, CrashPoint, RunnerPorts } from './runner.ts'
import type { Link } from './vendor.ts'

/** What the tests of this room share: rules, alerts and policies in a line, a vendor that can fail in every way, and an engine that can crash. */

const RULE_ID = '11111111-2222-4333-8444-555555555555'
export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const START = Date.UTC(2026, 2, 1, 10)

export function ruleWith(extension: Partial<Extension> = {}, parts: readonly RulePart[] = [part('rule', RULE_ID)]): DetectionRule {
  const where = { file: 'rule.yml', line: 1, column: 1 }
  return {
    kind: 'detection',
    id: RULE_ID,
    name: 'test_rule',
    title: 'Test rule',
    description: undefined,
    level: 'high',
    status: undefined,
    tags: [],
    references: [],
    falsepositives: [],
    extension: {
      mode: 'enforce',
      grace: 15 * MINUTE,
      entities: { device: 'device.id', user: 'user.id' },
      suppress: undefined,
      response: [{ do: 'create_incident' }, { do: 'quarantine_device', target: 'device' }],
      tests: [],
      ...extension,
    },
    where,
    parts,
    hash: digest(JSON.stringify(parts)),
    logsource: {},
    condition: { op: 'match', field: null, test: { kind: 'exists', value: true }, text: '', where },
    filters: [],
    expiries: [],
  }
}

export function part(kind: RulePart['kind'], id: string, content = 'v1', exclusions?: readonly string[]): RulePart {
  return { kind, id, title: `${kind} ${id}`, hash: digest(content), ...(exclusions === undefined ? {} : { exclusions }) }
}

export function device(id: string, facts: Record<string, string> = {}): Entity {
  return { kind: 'device', id, facts: { 'device.mdm.id': `mdm-${id}`, ...facts } }
}

/** An alert of the rule about one device. Its id derives from the device and `key`. */
export function alertOn(deviceId: string, rule: Rule, changes: Partial<AlertRevision> & { readonly key?: string } = {}): AlertRevision {
  const { key = '', ...rest } = changes
  return {
    kind: 'alert',
    id: identity('alert', deviceId, key),
    rev: 1,
    state: 'open',
    rule: { id: rule.id, title: rule.title, level: rule.level, hash: rule.hash },
    mode: rule.extension.mode === 'off' ? 'shadow' : rule.extension.mode,
    time: START,
    group: { 'device.id': deviceId },
    evidence: [],
    late: false,
    provisional: false,
    partition: 0,
    bundle: '',
    entities: [device(deviceId)],
    ...rest,
  }
}

export function grantFor(
  rule: DetectionRule,
  verbs: readonly Verb[] = ['create_incident', 'quarantine_device', 'notify', 'revoke_agent_tokens'],
): Grant {
  return { rule: rule.id, verbs, mode: 'enforce', pinned: rule.parts, where: { file: 'grants.yml', line: 1, column: 1 } }
}

export function policyWith(grants: readonly Grant[], changes: Partial<Policy> = {}): Policy {
  return {
    grants,
    limits: [{ verb: 'quarantine_device', most: 10, per: HOUR }],
    expiries: [],
    protected: { devices: [], groups: [], owners: [] },
    approvals: NO_APPROVALS,
    ...changes,
  }
}

/** An inventory that knows every device, one of so many. */
const KNOWN = (id: string): Asset | undefined => ({ id })
const FLEET = 6_000

/** How a request goes wrong. `late`: the vendor acts only after Cordon gave up waiting, yet within the responder's timeout. */
export const FAULTS = ['none', 'refused', 'dropped-before', 'dropped-after', 'late', 'busy'] as const
export type Fault = (typeof FAULTS)[number]

const TIMEOUT = 10_000

class VendorTrouble extends Error {
  readonly failure: Failure
  constructor(failure: Failure) {
    super(failure.reason)
    this.failure = failure
  }
}

/** A vendor in memory that logs what it really did, by idempotency key. */
export class FakeVendor {
  /** Every time that it acted: what a server's own log would show. */
  readonly acts: { readonly key: string; readonly target: string; readonly act: 'do' | 'undo' }[] = []
  readonly requests: string[] = []
  faults: Fault[] = []
  /** Refuses every request for good, whether or not it does what was asked for. */
  refuses: 'and does it' | 'and does nothing' | undefined
  /** Asked for nothing: every read-back fails. */
  blind = false
  /** What it asks for where it is busy. Milliseconds. */
  busyFor = 3_000
  residualUntil: number | undefined
  /** Targets that somebody else has touched, and undos of Cordon's that reached them all the same. */
  readonly touched = new Set<string>()
  readonly trespasses: string[] = []
  readonly #honoursKeys: boolean
  readonly #seen = new Set<string>()
  readonly #inForce = new Map<string, string>()
  #late: { readonly at: number; readonly act: () => void }[] = []
  readonly #now: () => number

  constructor(now: () => number, honoursKeys: boolean) {
    this.#now = now
    this.#honoursKeys = honoursKeys
  }

  inForce(target: string): boolean {
    this.#settle()
    return [...this.#inForce.values()].includes(target)
  }

  link(name: string, verb: Verb, kind: 'device' | 'incident', changes: Partial<Responder> = {}): Link {
    const connected = this.#connect()
    const tells = kind === 'incident'
    const responder: Responder = {
      name,
      title: name,
      verb,
      effect: tells ? 'notify' : 'contain',
      reversible: !tells,
      target: kind,
      needs: [],
      permissions: [],
      config: z.unknown(),
      example: '',
      repeatable: this.#honoursKeys,
      timeout: TIMEOUT,
      confirmWithin: 10 * MINUTE,
      connect: () => connected,
      ...changes,
    }
    const http = { request: () => Promise.reject(new Error('the fake vendor is called directly')) }
    return { name, responder, connected, http }
  }

  #connect(): ConnectedResponder {
    return {
      check: async () => {},
      plan: async (target, context) => ({
        summary: '',
        calls: [],
        details: { target: target.id, key: context.idempotencyKey, summary: context.incident.summary },
      }),
      run: async (plan, context) =>
        this.#request(
          context,
          'do',
          () => this.#inForce.set(String(plan.details.key), String(plan.details.target)),
          String(plan.details.target),
        ),
      verify: async (plan) => this.#read(String(plan.details.key)),
      undo: async (plan, context) =>
        this.#request(context, 'undo', () => this.#inForce.delete(String(plan.details.key)), String(plan.details.target)),
      verifyUndo: async (plan) => this.#read(String(plan.details.key)),
      classify: (error) => (error instanceof VendorTrouble ? error.failure : { kind: 'unknown', reason: String(error) }),
    }
  }

  #request(context: ResponderContext, act: 'do' | 'undo', effect: () => void, target: string): Record<string, unknown> {
    const fault = this.faults.shift() ?? 'none'
    const key = context.idempotencyKey
    this.requests.push(key)
    if (act === 'undo' && this.touched.has(target)) this.trespasses.push(target)
    const perform = () => {
      if (this.#honoursKeys && this.#seen.has(key)) return
      this.#seen.add(key)
      this.acts.push({ key, target, act })
      effect()
    }
    if (fault === 'busy') throw new VendorTrouble({ kind: 'retry', reason: '429', after: this.busyFor })
    if (fault === 'refused') throw new VendorTrouble({ kind: 'unknown', reason: '500' })
    if (fault === 'dropped-before') throw new VendorTrouble({ kind: 'unknown', reason: 'connection lost' })
    if (this.refuses === 'and does it') perform()
    if (this.refuses !== undefined) throw new VendorTrouble({ kind: 'final', reason: '404' })
    if (fault === 'late') this.#late.push({ at: this.#now() + TIMEOUT - 1, act: perform })
    else perform()
    if (fault !== 'none') throw new VendorTrouble({ kind: 'unknown', reason: 'no answer' })
    return { ok: true }
  }

  #read(key: string): Observation {
    this.#settle()
    if (this.blind) throw new VendorTrouble({ kind: 'retry', reason: 'the vendor is down' })
    if (!this.#inForce.has(key)) return { state: 'absent', proof: 'not listed' }
    return {
      state: 'present',
      proof: 'listed',
      ...(this.residualUntil === undefined ? {} : { residualUntil: this.residualUntil }),
      ...(this.touched.has(this.#inForce.get(key) ?? '') ? { foreign: 'an administrator has isolated it, too' } : {}),
    }
  }

  #settle(): void {
    const due = this.#late.filter(({ at }) => at <= this.#now())
    this.#late = this.#late.filter(({ at }) => at > this.#now())
    for (const { act } of due) act()
  }
}

/** A ledger of a site; `folder` is the site's own. Called again after each crash. */
export type OpenLedger = (folder: string) => Ledger

const embedded: OpenLedger = (folder) => openEmbeddedLedger(join(folder, 'ledger.db'))

/** An audit log that takes everything. */
export const UNAUDITED: Audit = { problem: () => undefined, written: async () => {} }

/** A worker and a dispatcher on one ledger, with a clock of their own; they can be crashed and started again. */
export class Site {
  readonly changes: Change[] = []
  readonly folder = mkdtempSync(join(tmpdir(), 'cordon-response-'))
  now = START
  policy: Policy
  audit: Audit = UNAUDITED
  assets = KNOWN
  fleetSize = FLEET
  /** When the inventory was brought up to date; just now by default. */
  asOf: number | undefined
  errors: unknown[] = []
  approvalLinks: RunnerPorts['approvalLinks'] = () => []
  /** Asked from the next start on. */
  opinion: AskOpinion | undefined
  /** Crash at this point when it is reached. */
  crashAt: CrashPoint | undefined
  ledger!: Ledger
  dispatcher!: Dispatcher
  worker!: AlertsWorker
  #alive = { yes: true }
  #file!: Ledger
  #offset = 0
  #crashed: Promise<void> = Promise.resolve()
  readonly links: readonly Link[]
  readonly #rule: () => Rule
  readonly #placing: AlertsWorkerPorts['placing']
  readonly #open: OpenLedger
  #starts = 0

  constructor(
    links: readonly Link[],
    rule: Rule | (() => Rule),
    policy: Policy,
    placing?: AlertsWorkerPorts['placing'],
    open: OpenLedger = embedded,
  ) {
    this.links = links
    this.#open = open
    this.#rule = typeof rule === 'function' ? rule : () => rule
    this.policy = policy
    this.#placing = placing
    this.start()
  }

  start(): void {
    const alive = { yes: true }
    this.#alive = alive
    this.#file = this.#open(this.folder)
    this.ledger = mortal(this.#file, alive)
    const crashed = Promise.withResolvers<void>()
    this.#crashed = crashed.promise
    const ports: RecordingPorts = { ledger: this.ledger, now: () => this.now, observe: (change) => this.changes.push(change) }
    this.dispatcher = new Dispatcher({
      ...ports,
      links: this.links,
      owner: `engine-${++this.#starts}`,
      policy: () => this.policy,
      fleet: () => ({
        asset: (id) => this.assets(id),
        person: (id) => ({ names: [id], groups: [] }),
        size: this.fleetSize,
        asOf: this.asOf ?? this.now,
      }),
      approvalLinks: (responder, asked) => this.approvalLinks(responder, asked),
      caseFiles: async () => [],
      ruleInForce: (id) => (id === this.#rule().id ? this.#rule().hash : undefined),
      audit: { problem: () => this.audit.problem(), written: () => this.audit.written() },
      random: () => 0.5,
      onError: (error) => this.errors.push(error),
      probe: (point) => {
        if (!alive.yes) return new Promise<never>(() => {})
        if (point !== this.crashAt) return
        this.crashAt = undefined
        alive.yes = false
        crashed.resolve()
        return new Promise<never>(() => {})
      },
    })
    this.worker = alertsWorker({
      ...ports,
      ruleOf: (id) => (id === this.#rule().id ? this.#rule() : undefined),
      requesterOf: () => 'ana',
      policy: () => this.policy,
      opinion: this.opinion,
      responders: this.links,
      ...(this.#placing === undefined ? {} : { placing: this.#placing }),
    })
  }

  /** As after a kill: nothing of the old engine reaches the database any more, what it had begun there is committed or gone. */
  async restart(): Promise<void> {
    this.#alive.yes = false
    await this.#file.close()
    this.start()
  }

  get ports(): RecordingPorts {
    return { ledger: this.ledger, now: () => this.now, observe: (change) => this.changes.push(change) }
  }

  async alert(...revisions: readonly AlertRevision[]): Promise<void> {
    await this.worker.handle(
      0,
      revisions.map((value) => ({ offset: this.#offset++, value })),
    )
  }

  /** Runs what is due now; true if the engine crashed meanwhile, and was started again. */
  async run(): Promise<boolean> {
    const crashed = await Promise.race([this.dispatcher.drain().then(() => false), this.#crashed.then(() => true)])
    if (crashed) await this.restart()
    return crashed
  }

  /** Lets time pass from due time to due time until nothing is due before `until`. */
  async passTo(until: number): Promise<void> {
    for (;;) {
      await this.run()
      const next = Math.min(await this.dispatcher.nextDue(), until)
      if (next >= until) break
      this.now = Math.max(this.now, next)
    }
    this.now = until
    await this.run()
  }

  notices(code: string): string[] {
    return this.changes.flatMap((change) => (change.kind === 'notice' && change.notice.code === code ? [change.notice.text] : []))
  }

  async close(): Promise<void> {
    this.#alive.yes = false
    await this.#file.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

const sites: Site[] = []

/** A site with one MDM and one pager, whose rule asks to notify and to quarantine. {@link closeSites} closes it. */
export function setUp(
  options: { readonly honoursKeys?: boolean; readonly most?: number; readonly tell?: boolean; readonly open?: OpenLedger } = {},
) {
  const rule = ruleWith({ response: [...(options.tell === false ? [] : [{ do: 'notify' } as const]), { do: 'quarantine_device' }] })
  let site: Site | undefined
  const clock = () => site?.now ?? START
  const mdm = new FakeVendor(clock, options.honoursKeys ?? false)
  const pager = new FakeVendor(clock, true)
  const links = [mdm.link('mdm', 'quarantine_device', 'device'), pager.link('pager', 'notify', 'incident')]
  site = new Site(
    links,
    rule,
    policyWith([grantFor(rule)], { limits: [{ verb: 'quarantine_device', most: options.most ?? 10, per: HOUR }] }),
    undefined,
    options.open,
  )
  sites.push(site)
  return { site, rule, mdm, pager }
}

export async function closeSites(): Promise<void> {
  for (const site of sites.splice(0)) await site.close()
}

export function quarantines(site: Site): Promise<readonly Effect[]> {
  return site.ledger.effects({ responder: 'mdm', limit: 10_000 })
}

/** A ledger that its dead process can no longer use. */
function mortal(ledger: Ledger, alive: { readonly yes: boolean }): Ledger {
  return new Proxy(ledger, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...values: unknown[]) => (alive.yes ? (value.apply(target, values) as unknown) : new Promise<never>(() => {}))
    },
  })
}
