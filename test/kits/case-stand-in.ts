import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { Fault, LabEffect, LabServer } from '../../lab/servers/server.ts'
import type { CaseFile } from '../../src/responders/responder.ts'

export const CASE: readonly CaseFile[] = [
  { name: 'incident.json', content: '{"id":"inc-7f3a"}\n' },
  { name: 'events.ndjson', content: '{"event":{"id":"e1"}}\n{"event":{"id":"e2"}}\n' },
]

/** A folder for evidence, and an engine that gives the files of one case. Faults are those of the engine's stores. */
export function startCase(): LabServer & { readonly root: string; caseFiles(signal: AbortSignal): Promise<readonly CaseFile[]> } {
  const root = mkdtempSync(join(tmpdir(), 'cordon-case-'))
  const requests: string[] = []
  const faults: { fault: Fault; left: number }[] = []
  let stopped = false
  return {
    root,
    url: pathToFileURL(root).href,
    requests,
    /** What is to be seen in the folder. */
    get effects(): readonly LabEffect[] {
      const kept = readdirSync(root).filter((name) => !name.startsWith('.'))
      return kept.map((key) => ({ at: 0, what: 'kept', key, about: '' }))
    },
    fault: (fault) => void faults.push({ fault, left: fault.times ?? 1 }),
    async caseFiles(signal) {
      if (stopped) throw new Error('the store is down')
      requests.push('caseFiles')
      const found = faults.find(({ left }) => left > 0)
      if (found !== undefined) found.left--
      if (found?.fault.kind === 'delay') await sleep(found.fault.milliseconds, undefined, { signal })
      if (found?.fault.kind === 'drop-before') throw new Error('the store broke off')
      return CASE
    },
    async stop() {
      stopped = true
      rmSync(root, { recursive: true, force: true })
    },
  }
}
