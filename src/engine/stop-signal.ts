/** A terminal that is closed says SIGHUP; to a service it means that its files have changed. */
const SIGNALS = process.stderr.isTTY ? (['SIGINT', 'SIGTERM', 'SIGHUP'] as const) : (['SIGINT', 'SIGTERM'] as const)
/** How far behind the first a passed-on signal may come. Milliseconds. */
const ECHO = 250

/**
 * Resolves at the first signal that asks the process to stop. Signals after it change nothing: npm and bin/cordon.mjs pass on the
 * Ctrl-C that the terminal has sent to all of them already, and a second one must not kill what is shutting down. (SIGQUIT does.)
 */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        // A process that is gone at once would be found in the middle of its exit, where nobody handles the signal any more.
        setTimeout(() => {}, ECHO)
        resolve(signal)
      })
    }
  })
}
