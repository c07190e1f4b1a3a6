import { messageOf } from '../event/error.ts'

/** What is wrong and what to do about it. */
export interface Finding {
  readonly detail: string
  readonly remedy: string
}

/** One thing that can be wrong with a node. */
export interface Check {
  readonly name: string
  /** Undefined if nothing is wrong. */
  look(): Promise<Finding | undefined>
}

export interface Health {
  readonly status: 'ok' | 'degraded'
  readonly checks: readonly {
    readonly name: string
    readonly status: 'ok' | 'degraded'
    readonly detail?: string
    readonly remedy?: string
  }[]
}

/** Looks at everything at once. A check that itself fails is a finding like any other. */
export async function healthOf(checks: readonly Check[]): Promise<Health> {
  const results = await Promise.all(
    checks.map(async ({ name, look }) => {
      const problem = await look().catch((error: unknown) => ({ detail: messageOf(error), remedy: 'see the log' }))
      return problem === undefined ? { name, status: 'ok' as const } : { name, status: 'degraded' as const, ...problem }
    }),
  )
  return { status: results.every(({ status }) => status === 'ok') ? 'ok' : 'degraded', checks: results }
}
