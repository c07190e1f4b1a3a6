import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { type AuditFact, ERASED } from '../../audit/fact.ts'
import { auditFiles } from '../../audit/files.ts'
import { openAuditLog } from '../../audit/log.ts'
import { Seals } from '../../audit/seals.ts'
import { namesOfUser } from '../../context/inventory.ts'
import { Person } from '../../privacy/person.ts'
import type { Elasticsearch } from '../../stores/elasticsearch/client.ts'
import { dropReplaced, replacedIndices, rewriteIndices } from '../../stores/elasticsearch/erasure.ts'
import { ledgerIndex } from '../../stores/elasticsearch/journal.ts'
import { hasLedger, rewriteLedger } from '../../stores/elasticsearch/ledger.ts'
import { rewriteEmbeddedLedger } from '../../stores/embedded-erasure.ts'
import type { Rewrite } from '../../stores/rewriting.ts'
import type { LogName } from '../../streams/log.ts'
import { auditLogOptions, fact } from '../audit/audit-stage.ts'
import type { Config } from '../config.ts'
import { type DataPaths, dataPaths, lockDataFolder } from '../data-folder.ts'
import { IngestStore } from '../ingest/ingest-store.ts'
import { createLog } from '../log.ts'
import { readInventory } from '../site.ts'
import { connectElasticsearch } from './elasticsearch.ts'
import { type Remains, remainsIn } from './remains.ts'

export interface Erasure {
  readonly pseudonym: string
  /** What was changed, or would be, and how often: tables, kinds of documents, indices, and what was observed of the person. */
  readonly changed: ReadonlyMap<string, number>
  /** Actions against the person that are in force, and so left: without their target nobody could undo them. */
  readonly inForce: number
  /** Indices whose files still have what was replaced, until Elasticsearch merges them. */
  readonly unmerged: readonly string[]
  /** What the logs hold of the person, which cannot be changed: it goes when it is too old. */
  readonly left: ReadonlyMap<LogName, Remains>
}

type Stores = Omit<Erasure, 'pseudonym' | 'left'>

/**
 * Takes a person out of what is kept for good, and out of what this node, which is stopped, keeps for itself: alerts, incidents and
 * actions; the events in Elasticsearch; what was observed of them; what the audit log's commitments were made to. Whatever names them,
 * by the inventory's id, address and names, gets a pseudonym. Doing so again changes what has come since.
 *
 * @param name id or e-mail address
 * @throws CordonError `DATA_IN_USE`, `STREAMS_MISSING`, `STORE_…`; what was erased until then stays so
 */
export async function erasePerson(config: Config, name: string, by: string, { dryRun }: { readonly dryRun: boolean }): Promise<Erasure> {
  const paths = dataPaths(config.data)
  const known = readInventory(config.inventory).userFor({ user: { name } })
  const names = known === undefined ? [] : namesOfUser(known)
  const person = new Person([known?.id ?? name, name, ...names], saltOf(paths.pseudonymSalt, dryRun))
  const isNamedIn = (text: string) => person.replaced(text) !== text
  // The logs open only where the node has run, and tell so.
  const left = await remainsIn(config, isNamedIn)
  const unlock = lockDataFolder(config.data)
  try {
    const rewrite = { replaced: (text: string) => person.replaced(text), replacedIn: person.replacedIn.bind(person) }
    const { changed: stored, ...others } = await rewriteStores(config, rewrite, dryRun)
    const changed = new Map(stored)
    const store = new IngestStore(paths.ingest)
    const subjects = store.forget((subject) => subject.startsWith('user ') && isNamedIn(subject), dryRun)
    store.close()
    if (subjects > 0) changed.set('posture', subjects)
    const sealed = sealedNaming(paths, isNamedIn)
    if (sealed > 0) changed.set('audit', sealed)
    const rows = [...changed.values()].reduce((sum, count) => sum + count, 0)
    if (!dryRun) {
      createLog(config).onNote('privacy', `${by} erased a person, now ${person.pseudonym}: ${rows} records changed`)
      const tellOf = (values: number) => fact(ERASED, { pseudonym: person.pseudonym, rows, values }, { by, why: 'asked to be erased' })
      await eraseSealed(config, isNamedIn, tellOf)
    }
    return { pseudonym: person.pseudonym, changed, ...others, left }
  } finally {
    unlock()
  }
}

async function rewriteStores(config: Config, rewrite: Rewrite, dryRun: boolean): Promise<Stores> {
  const { store, data, node } = config
  if (store.kind === 'elasticsearch') {
    const cluster = connectElasticsearch(store, store.prefix, 'store')
    try {
      return await rewriteCluster(cluster, node, rewrite, dryRun)
    } finally {
      await cluster.close()
    }
  }
  const { ledger } = dataPaths(data)
  const { changed, inForce } = existsSync(ledger) ? rewriteEmbeddedLedger(ledger, rewrite, dryRun) : { changed: new Map(), inForce: 0 }
  return { changed, inForce, unmerged: [] }
}

/** Beside the other nodes of the cluster, which go on. */
async function rewriteCluster(cluster: Elasticsearch, node: string, rewrite: Rewrite, dryRun: boolean): Promise<Stores> {
  const begun = await hasLedger(cluster)
  const ledger = begun ? await rewriteLedger(cluster, node, rewrite, dryRun) : { changed: new Map<string, number>(), inForce: 0 }
  const changed = new Map(ledger.changed)
  for await (const { index, documents } of rewriteIndices(cluster, rewrite, dryRun)) changed.set(index, documents)
  const unmerged: string[] = []
  if (!dryRun) {
    const indices = [...(ledger.changed.size > 0 ? [ledgerIndex(cluster)] : []), ...(await replacedIndices(cluster))]
    for (const index of indices) if (!(await dropReplaced(cluster, index))) unmerged.push(index)
  }
  return { changed, inForce: ledger.inForce, unmerged }
}

/** Values beside the audit log, whose entries hold only commitments to them and stay as they are. */
function sealedNaming(paths: DataPaths, names: (value: string) => boolean): number {
  return withSeals(paths, (seals) => seals.naming(names).length) ?? 0
}

/** @throws CordonError `AUDIT_DAMAGED`, `AUDIT_UNWRITABLE`: the person is erased all the same */
async function eraseSealed(config: Config, names: (value: string) => boolean, tellOf: (values: number) => AuditFact): Promise<void> {
  const paths = dataPaths(config.data)
  try {
    const log = await openAuditLog(auditLogOptions(config, paths))
    try {
      await log.erase(names, tellOf)
      await log.checkpoint()
    } finally {
      await log.close()
    }
  } catch (error) {
    withSeals(paths, (seals) => seals.remove(seals.naming(names)))
    throw error
  }
}

function withSeals<T>(paths: DataPaths, work: (seals: Seals) => T): T | undefined {
  const { seals: file } = auditFiles(paths.audit)
  if (!existsSync(file)) return undefined
  const seals = new Seals(file)
  try {
    return work(seals)
  } finally {
    seals.end()
  }
}

/** Made once, and kept: the same person has the same pseudonym at a second request. */
function saltOf(path: string, dryRun: boolean): Buffer {
  if (existsSync(path)) return readFileSync(path)
  const salt = randomBytes(32)
  if (dryRun) return salt
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(path, salt, { mode: 0o600, flag: 'wx' })
  return salt
}
