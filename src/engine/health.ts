import { CordonError, messageOf } from '../event/error.ts'
import { valueWithoutSecrets } from '../event/secrets.ts'

/** What is wrong and what to do about it. Without a remedy nothing is wrong, and it is only good to know. */
export interface Finding {
  readonly detail: string
  readonly remedy?: string
}

/** One thing that can be wrong with a node. */
export interface Check {
  readonly name: string
  /** Undefined if there is nothing to say. */
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
      const finding = await look().catch(
        (error: unknown): Finding => ({ detail: messageOf(error), remedy: hintOf(error) ?? 'see the log' }),
      )
      return { name, status: finding?.remedy === undefined ? ('ok' as const) : ('degraded' as const), ...finding }
    }),
  )
  return { status: results.every(({ status }) => status === 'ok') ? 'ok' : 'degraded', checks: valueWithoutSecrets(results) }
}

export function hintOf(problem: unknown): string | undefined {
  return problem instanceof CordonError ? problem.hint : undefined
}
