import { schedule, validate } from 'node-cron'

/*
 * node-cron is used through this file, where its defaults do not fit: it takes the host's time zone, leaves out a run that comes late,
 * keeps the process alive, and writes to the console.
 */

const SILENT = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} }

/** Whether a text says when: five fields as cron has them, or six with the second first. */
export function isSchedule(expression: string): boolean {
  return validate(expression)
}

/**
 * Does `work` whenever a cron expression says so, in UTC, and never twice at once. A time that the process was too busy for is made up
 * for once.
 *
 * @returns how to stop it; resolves when work in hand has ended
 */
export function startSchedule(expression: string, work: () => Promise<void>, onError: (error: unknown) => void): () => Promise<void> {
  let running: Promise<void> | undefined
  const run = async () => {
    running ??= work()
      .catch(onError)
      .finally(() => {
        running = undefined
      })
    await running
  }
  const task = schedule(expression, run, { timezone: 'UTC', unref: true, logger: SILENT })
  task.on('execution:missed', run)
  return async () => {
    await task.destroy()
    await running
  }
}
