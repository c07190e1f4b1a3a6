/** A place in a text file. Lines and columns count from 1, as editors do. */
export interface Position {
  readonly file: string
  readonly line: number
  readonly column: number
}

/**
 * The one error class of Cordon: what went wrong (`message`), a stable `code` that documentation and tests name,
 * what to do about it (`hint`), and where (`where`), if it has a place.
 *
 * @example throw new CordonError('PORT_TAKEN', 'port 4318 on 127.0.0.1 is taken', { hint: 'set listen.ingest.port to a free port' })
 */
export class CordonError extends Error {
  readonly code: string
  readonly hint: string | undefined
  readonly where: Position | undefined

  constructor(code: string, message: string, details: { hint?: string; where?: Position; cause?: unknown } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'CordonError'
    this.code = code
    this.hint = details.hint
    this.where = details.where
  }
}

/** `file:line:column`, as editors and people take it. */
export function formatPlace({ file, line, column }: Position): string {
  return `${file}:${line}:${column}`
}

/** The message of anything that was thrown, behind its place where it has one. */
export function saidOf(error: unknown): string {
  const where = error instanceof CordonError ? error.where : undefined
  return where === undefined ? messageOf(error) : `${formatPlace(where)} ${messageOf(error)}`
}

/** What `work` returns; else its error, told with more of what it is about. */
export function telling<T>(about: (error: CordonError) => { readonly message?: string; readonly where?: Position }, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (!(cause instanceof CordonError)) throw cause
    const { code, hint } = cause
    const { message = cause.message, where = cause.where } = about(cause)
    throw new CordonError(code, message, { ...(hint === undefined ? {} : { hint }), ...(where === undefined ? {} : { where }), cause })
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
