import { CordonError, formatPlace, messageOf, type Position } from '../../event/error.ts'

export const LEVELS = ['ok', 'warning', 'problem'] as const

/** What was looked at, how it is, and what to do where it is not as it should be. */
export interface Diagnosis {
  readonly check: string
  readonly level: (typeof LEVELS)[number]
  /** How it is: the cause, where something is wrong. */
  readonly detail: string
  readonly remedy?: string
}

export function ok(check: string, detail: string): Diagnosis {
  return { check, level: 'ok', detail }
}

export function warning(check: string, detail: string, remedy: string): Diagnosis {
  return { check, level: 'warning', detail, remedy }
}

export function problem(check: string, detail: string, remedy: string): Diagnosis {
  return { check, level: 'problem', detail, remedy }
}

/** Where the setting is that an error is about, if it is about one. */
export type PlaceOf = (error: CordonError) => Position | undefined

/** A failure as problems, with place and code; one that names several mistakes, each on a line of its own, becomes as many. */
export function problemsOf(check: string, error: unknown, placeOf?: PlaceOf): readonly Diagnosis[] {
  if (!(error instanceof CordonError)) return [problem(check, messageOf(error), 'see the message; docs/reference/errors.md')]
  const { code, message, hint } = error
  const where = error.where ?? placeOf?.(error)
  const place = where === undefined ? '' : `${formatPlace(where)} `
  const [first, ...others] = message.split(/\n(?=\S+:\d+:\d+ )/)
  const remedy = hint ?? `docs/reference/errors.md has ${code}`
  return [`${place}${code}: ${first}`, ...others].map((detail) => problem(check, detail, remedy))
}

/** What `work` answers, or its failure as problems. */
export async function attempt(
  check: string,
  work: () => Promise<readonly Diagnosis[]> | readonly Diagnosis[],
  placeOf?: PlaceOf,
): Promise<readonly Diagnosis[]> {
  try {
    return await work()
  } catch (error) {
    return problemsOf(check, error, placeOf)
  }
}
