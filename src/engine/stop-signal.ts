const STOPS = ['SIGINT', 'SIGTERM'] as const
/** How far behind the first a passed-on signal may come. Milliseconds. */
const ECHO = 250

/**
 * Aborts at the first signal that asks the process to stop. Signals after it change nothing: npm and bin/cordon.mjs pass on the
 * Ctrl-C that the terminal has sent to all of them already, and a second one must not kill what is shutting down. (SIGQUIT does.)
 * SIGHUP stops what runs in a terminal that is closed; to a service it says that its files have changed, and must not kill it.
 */
export function stopSignal(): AbortSignal {
  const stopping = new AbortController()
  const stop = () => {
    // A process that is gone at once would be found in the middle of its exit, where nobody handles the signal any more.
    setTimeout(() => {}, ECHO)
    stopping.abort()
  }
  for (const signal of STOPS) process.on(signal, stop)
  process.on('SIGHUP', process.stderr.isTTY ? stop : () => {})
  return stopping.signal
}

/** Resolves when `signal` aborts. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
