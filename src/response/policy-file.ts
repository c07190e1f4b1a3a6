import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { CordonError, messageOf } from '../event/error.ts'
import { duration } from '../settings/duration.ts'
import { type Problem, readSettings, refuse, type Settings } from '../settings/settings-file.ts'
import { VERBS } from '../sigma/ast.ts'
import { approvalsFile, approvalsOf } from './approvals-file.ts'
import type { Expiry, Grant, Limit, Policy, Protected } from './policy.ts'

const INVALID = 'POLICY_INVALID'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** Used where limits.yml sets none for the verb, so that a lost or emptied file does not lift the limit. */
const DEFAULT_LIMITS: readonly Limit[] = (['quarantine_device', 'lock_device'] as const).flatMap((verb) => [
  { verb, most: 3, per: MINUTE },
  { verb, most: 10, per: 60 * MINUTE },
  { verb, most: 50, per: DAY },
  { verb, most: { share: 0.01 }, per: DAY },
])

const text = z.string().min(1)
const verb = z.enum(VERBS)
const period = duration.refine((length) => length > 0, 'must be longer than nothing, such as 1h')

const SHARE = 'expected a number, or a share of the fleet such as 1%'
const most = z
  .union([z.int().min(0), z.string().regex(/^\d+(\.\d+)?\s*%$/, SHARE)], SHARE)
  .transform((value) => (typeof value === 'number' ? value : { share: Number.parseFloat(value) / 100 }))
  .refine(
    (value) => typeof value === 'number' || (value.share > 0 && value.share <= 1),
    'a share is above 0% and at most 100%; 0 allows none',
  )

const pin = z.strictObject({
  kind: z.enum(['rule', 'filter', 'list']),
  id: text,
  title: z.string(),
  hash: z.string().regex(/^[0-9a-f]{64}$/, 'expected the 64 hex digits that `cordon policy grant` writes'),
  exclusions: z.array(z.string()).optional(),
})

const grantsFile = z.strictObject({
  grants: z
    .array(
      z.strictObject({
        rule: text,
        verbs: z.array(verb).min(1),
        mode: z.enum(['shadow', 'approve', 'enforce']),
        note: z.string().optional(),
        granted_by: z.string().optional(),
        granted_at: z.string().optional(),
        pinned: z.array(pin).default([]),
      }),
    )
    .nullable()
    .default([]),
})

const limitsFile = z.strictObject({
  limits: z
    .array(z.strictObject({ verb, most, per: period, each: z.literal('rule').optional() }))
    .nullable()
    .default([]),
  expires: z
    .array(z.strictObject({ verb, after: period, renew: z.boolean().default(true) }))
    .nullable()
    .default([]),
  quarantine_rules: z.array(text).nullable().default([]),
})

const names = z.array(text).nullable().default([])
const protectedFile = z.strictObject({ devices: names, groups: names, owners: names, inventory_stale_after: period.optional() })

/** The text of a policy file; absent where the file is. */
export interface PolicyFile {
  readonly file: string
  readonly text: string
}

/**
 * Reads grants.yml, limits.yml, protected.yml and approvals.yml of a folder. Without grants.yml nothing is granted, without limits.yml the
 * built-in limits hold and no rule may be granted quarantine.
 *
 * @throws CordonError `POLICY_INVALID`, `POLICY_UNREADABLE`: nothing of a policy holds while any of it is wrong
 */
export function loadPolicy(folder: string): Policy {
  return parsePolicy({
    grants: readIfThere(join(folder, 'grants.yml')),
    limits: readIfThere(join(folder, 'limits.yml')),
    protected: readIfThere(join(folder, 'protected.yml')),
    approvals: readIfThere(join(folder, 'approvals.yml')),
  })
}

/** @throws CordonError `POLICY_INVALID` with the place of the first mistake; every mistake is in the message */
export function parsePolicy(files: {
  readonly grants: PolicyFile | undefined
  readonly limits: PolicyFile | undefined
  readonly protected: PolicyFile | undefined
  readonly approvals?: PolicyFile | undefined
}): Policy {
  const limits = read(files.limits, limitsFile)
  const quarantine = new Set(limits?.data.quarantine_rules)
  return {
    grants: grantsOf(read(files.grants, grantsFile), quarantine),
    limits: withDefaults(limits?.data.limits ?? []),
    expiries: expiriesOf(limits),
    protected: protectedOf(read(files.protected, protectedFile)?.data),
    approvals: approvalsOf(read(files.approvals, approvalsFile)),
  }
}

function grantsOf(grants: Settings<z.infer<typeof grantsFile>> | undefined, quarantine: ReadonlySet<string>): Grant[] {
  if (grants === undefined) return []
  const problems: Problem[] = []
  const seen = new Set<string>()
  const result = (grants.data.grants ?? []).map((grant, index): Grant => {
    grant.verbs.forEach((name, position) => {
      const where = grants.at(['grants', index, 'verbs', position])
      if (name === 'quarantine_device' && grant.mode !== 'approve' && !quarantine.has(grant.rule)) {
        const message = `rule ${grant.rule} may not be granted quarantine_device: it is not among quarantine_rules in limits.yml`
        problems.push({
          where,
          message,
          hint: 'quarantine without asking people is for the rules named there only; grant it in mode approve',
        })
      }
      if (seen.has(`${grant.rule} ${name}`)) problems.push({ where, message: `rule ${grant.rule} is granted ${name} twice` })
      seen.add(`${grant.rule} ${name}`)
    })
    return {
      rule: grant.rule,
      verbs: grant.verbs,
      mode: grant.mode,
      pinned: grant.pinned.map(({ exclusions, ...rest }) => ({ ...rest, ...(exclusions === undefined ? {} : { exclusions }) })),
      ...(grant.granted_by === undefined ? {} : { grantedBy: grant.granted_by }),
      ...(grant.granted_at === undefined ? {} : { grantedAt: grant.granted_at }),
      ...(grant.note === undefined ? {} : { note: grant.note }),
      where: grants.at(['grants', index]),
    }
  })
  refuse(INVALID, problems)
  return result
}

function expiriesOf(limits: Settings<z.infer<typeof limitsFile>> | undefined): Expiry[] {
  const expiries = limits?.data.expires ?? []
  const again = expiries.findIndex(({ verb }, index) => expiries.slice(0, index).some((other) => other.verb === verb))
  if (limits !== undefined && again >= 0) {
    refuse(INVALID, [{ where: limits.at(['expires', again]), message: `${expiries[again]?.verb} expires twice` }])
  }
  return expiries
}

function withDefaults(data: NonNullable<z.infer<typeof limitsFile>['limits']>): Limit[] {
  const limits = data.map(({ each, ...limit }): Limit => (each === undefined ? limit : { ...limit, each }))
  return [...limits, ...DEFAULT_LIMITS.filter(({ verb }) => !limits.some((limit) => limit.verb === verb))]
}

function protectedOf(data: z.infer<typeof protectedFile> | undefined): Protected {
  const { devices, groups, owners, inventory_stale_after: staleAfter } = data ?? {}
  return {
    devices: devices ?? [],
    groups: groups ?? [],
    owners: owners ?? [],
    ...(staleAfter === undefined ? {} : { staleAfter }),
  }
}

function read<T>(source: PolicyFile | undefined, schema: z.ZodType<T>): Settings<T> | undefined {
  if (source === undefined) return undefined
  return readSettings(source.file, source.text, schema, {
    notYaml: INVALID,
    invalid: INVALID,
    hint: 'docs/reference/policy.md says what it may hold',
  })
}

function readIfThere(file: string): PolicyFile | undefined {
  try {
    return { file, text: readFileSync(file, 'utf8') }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CordonError('POLICY_UNREADABLE', `cannot read ${file}: ${messageOf(error)}`, { hint: 'check its permissions', cause: error })
  }
}
