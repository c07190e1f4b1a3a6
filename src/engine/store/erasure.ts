import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { auditFiles } from '../../audit/files.ts'
import { openAuditLog } from '../../audit/log.ts'
import { Seals } from '../../audit/seals.ts'
import { CordonError } from '../../event/error.ts'
import { stringifyJson } from '../../event/json.ts'
import { Person } from '../../privacy/person.ts'
import { rewriteEmbeddedLedger } from '../../stores/embedded-erasure.ts'
import { LOGS, type LogName, type Streams } from '../../streams/log.ts'
import { auditLogOptions, fact } from '../audit/audit-stage.ts'
import type { Config } from '../config.ts'
import { type DataPaths, dataPaths, lockDataFolder } from '../data-folder.ts'
import { IngestStore } from '../ingest/ingest-store.ts'
import { createLog } from '../log.ts'
import { readInventory } from '../site.ts'
import { withStreams } from '../streams.ts'

const BATCH = 5_000

export interface Erasure {
  readonly pseudonym: string
  /** Rows that were changed, or would be: of the ledger by table, and of what was observed of the person. */
  readonly changed: ReadonlyMap<string, number>
  /** Actions against the person that are in force, and so left: without their target nobody could undo them. */
  readonly inForce: number
  /** Entries of the logs that name the person and cannot be changed: they go when they are too old. */
  readonly left: ReadonlyMap<LogName, number>
}

/**
 * Takes a person out of what a stopped node keeps for good: the ledger's alerts, incidents and actions, and what was observed of them.
 * Whatever names them, by the inventory's id, address and names, gets a pseudonym. Doing so again changes what has come since.
 *
 * @param name id or e-mail address
 * @throws CordonError `ERASE_EMBEDDED`, `DATA_IN_USE`, `STREAMS_MISSING`
 */
export async function erasePerson(config: Config, name: string, by: string, { dryRun }: { readonly dryRun: boolean }): Promise<Erasure> {
  if (config.store.kind !== 'embedded' || config.streams.kind !== 'embedded') {
    throw new CordonError('ERASE_EMBEDDED', 'people are erased from the embedded logs and store only', {
      hint: 'in Elasticsearch and Kafka what names a person goes with retention: see docs/guides/privacy.md',
    })
  }
  const paths = dataPaths(config.data)
  const known = readInventory(config.inventory).userFor({ user: { name } })
  const names = [known?.id, known?.email, known?.name, ...(known?.aliases ?? [])].filter((one) => one !== undefined)
  const person = new Person([known?.id ?? name, name, ...names], saltOf(paths.pseudonymSalt, dryRun))
  // The logs open only where the node has run, and tell so.
  const left = await withStreams(config, { append: false }, (streams) => entriesNaming(streams, person))
  const unlock = lockDataFolder(config.data)
  try {
    const rewrite = { replaced: (text: string) => person.replaced(text), replacedIn: person.replacedIn.bind(person) }
    const ledger = existsSync(paths.ledger) ? rewriteEmbeddedLedger(paths.ledger, rewrite, dryRun) : { changed: [], inForce: 0 }
    const changed = new Map(ledger.changed)
    const store = new IngestStore(paths.ingest)
    const subjects = store.forget((subject) => subject.startsWith('user ') && person.replaced(subject) !== subject, dryRun)
    store.close()
    if (subjects > 0) changed.set('posture', subjects)
    const sealed = eraseSealed(paths, (value) => person.replaced(value) !== value, dryRun)
    if (sealed > 0) changed.set('audit', sealed)
    const total = [...changed.values()].reduce((sum, count) => sum + count, 0)
    if (!dryRun) createLog(config).onNote('privacy', `${by} erased a person, now ${person.pseudonym}: ${total} rows changed`)
    if (!dryRun) await tellAudit(config, by, person.pseudonym, total)
    return { pseudonym: person.pseudonym, changed, inForce: ledger.inForce, left }
  } finally {
    unlock()
  }
}

/** Takes values out from beside the audit log, whose entries hold only commitments to them and stay as they are. */
function eraseSealed(paths: DataPaths, names: (value: string) => boolean, dryRun: boolean): number {
  const { seals: file } = auditFiles(paths.audit)
  if (!existsSync(file)) return 0
  const seals = new Seals(file)
  try {
    return seals.erase(names, dryRun)
  } finally {
    seals.end()
  }
}

/** @throws CordonError `AUDIT_DAMAGED`, `AUDIT_UNWRITABLE`: the person is erased all the same */
async function tellAudit(config: Config, by: string, pseudonym: string, rows: number): Promise<void> {
  const log = await openAuditLog(auditLogOptions(config, dataPaths(config.data)))
  try {
    await log.append([fact('person.erased', { pseudonym, rows }, { by, why: 'asked to be erased' })])
    await log.checkpoint()
  } finally {
    await log.close()
  }
}

/** Made once, and kept: the same person has the same pseudonym at a second request. */
function saltOf(path: string, dryRun: boolean): Buffer {
  if (existsSync(path)) return readFileSync(path)
  const salt = randomBytes(32)
  if (!dryRun) writeFileSync(path, salt, { mode: 0o600, flag: 'wx' })
  return salt
}

async function entriesNaming(streams: Streams, person: Person): Promise<ReadonlyMap<LogName, number>> {
  const found = new Map<LogName, number>()
  for (const log of LOGS) {
    let count = 0
    for (let partition = 0; partition < streams.partitions(log); partition++) {
      let entries = await streams.read<unknown>(log, partition, 0, BATCH)
      while (entries.length > 0) {
        for (const { value } of entries) {
          const text = stringifyJson(value)
          if (person.replaced(text) !== text) count++
        }
        entries = await streams.read<unknown>(log, partition, entries.at(-1)!.offset + 1, BATCH)
      }
    }
    if (count > 0) found.set(log, count)
  }
  return found
}
