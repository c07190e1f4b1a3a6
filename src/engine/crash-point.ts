import type { CrashPoint as ResponseCrashPoint } from '../response/runner.ts'

/** The moments at which a crash is hardest to survive. Fault tests kill the process exactly there. */
export type CrashPoint =
  | 'batch-accepted'
  | 'alert-committed'
  | 'outbox-sent'
  | 'generation-chunks'
  | 'generation-written'
  | 'audit-appended'
  | ResponseCrashPoint

/**
 * Reads `CORDON_CRASH_AT=<point>:<n>` and answers a function that kills the process with SIGKILL, as a power cut would, when
 * the point is reached for the n-th time. Without the variable the function does nothing.
 */
export function crashPoints(spec: string | undefined = process.env.CORDON_CRASH_AT): (point: CrashPoint) => void {
  if (spec === undefined) return () => {}
  const [wanted, count = '1'] = spec.split(':')
  let left = Number(count)
  return (point) => {
    if (point === wanted && --left === 0) process.kill(process.pid, 'SIGKILL')
  }
}
