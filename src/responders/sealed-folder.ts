import { access, constants, mkdtemp, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CordonError, messageOf } from '../event/error.ts'
import { digest } from '../event/id.ts'
import { VendorError } from './failure.ts'
import type { Attempt, CaseFile, Observation } from './responder.ts'

/** As `sha256sum -c` reads it: a line for each file. */
const MANIFEST = 'SHA256SUMS'
const LINE = /^([0-9a-f]{64}) {2}([\w.-]+)$/

/** A folder that was written once and is whole. */
export interface SealedFolder {
  readonly files: number
  /** Of the files, without the manifest. */
  readonly bytes: number
  /** SHA-256 of the manifest, and so of everything that is in the folder. */
  readonly manifest: string
}

/** What is wrong with a folder that is there, in words. */
export interface BrokenSeal {
  readonly broken: string
}

/** @throws CordonError `EVIDENCE_FOLDER` if nothing can be written below `root` */
export async function checkRoot(root: string): Promise<void> {
  try {
    if (!(await stat(root)).isDirectory()) throw new Error('it is no folder')
    await access(root, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new CordonError('EVIDENCE_FOLDER', `evidence cannot be written to ${root}: ${messageOf(error)}`, {
      hint: 'make the folder, writable by the user that Cordon runs as; Cordon makes only folders below it',
    })
  }
}

/**
 * Writes files and their manifest as one folder, synced, that appears whole or not at all. One that is there already stays as it is.
 *
 * @param name of the folder below `root`
 * @throws VendorError where the disk does not take it
 */
export async function sealFolder(root: string, name: string, files: readonly CaseFile[], signal: AbortSignal): Promise<SealedFolder> {
  try {
    await sweepDrafts(root, name)
    const draft = await mkdtemp(join(root, `.${name}.`))
    try {
      for (const file of files) {
        signal.throwIfAborted()
        await writeSynced(join(draft, file.name), file.content)
      }
      await writeSynced(join(draft, MANIFEST), files.map((file) => `${digest(file.content)}  ${file.name}\n`).join(''))
      await sync(draft)
      signal.throwIfAborted()
      await moveTo(draft, join(root, name))
      await sync(root)
    } finally {
      await rm(draft, { recursive: true, force: true })
    }
  } catch (error) {
    throw judged(error, root)
  }
  const sealed = await readSealed(root, name)
  if (sealed === undefined || 'broken' in sealed)
    throw new VendorError({ kind: 'final', reason: sealed?.broken ?? `${name} is gone again` })
  return sealed
}

/** Reads a folder and holds every file against the manifest; undefined if there is none. */
export async function readSealed(root: string, name: string): Promise<SealedFolder | BrokenSeal | undefined> {
  const folder = join(root, name)
  let manifest: string
  try {
    manifest = await readFile(join(folder, MANIFEST), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw judged(error, root)
    return (await isThere(folder)) ? { broken: `${folder} has no ${MANIFEST}` } : undefined
  }
  const lines = manifest.split('\n').slice(0, -1)
  let bytes = 0
  for (const line of lines) {
    const [, hash, file] = LINE.exec(line) ?? []
    if (hash === undefined || file === undefined) return { broken: `${MANIFEST} of ${folder} cannot be read` }
    const content = await readFile(join(folder, file)).catch(() => undefined)
    if (content === undefined) return { broken: `${file} of ${folder} is gone` }
    if (digest(content) !== hash) return { broken: `${file} of ${folder} is not as it was written` }
    bytes += content.length
  }
  const strangers = (await readdir(folder)).length - lines.length - 1
  if (strangers > 0) return { broken: `${folder} holds something that is not in its ${MANIFEST}` }
  return { files: lines.length, bytes, manifest: digest(manifest) }
}

/** How a folder stands to the attempt that wrote it. @param about what is in it, of so many files and bytes */
export async function observeSealed(
  root: string,
  name: string,
  attempt: Attempt | undefined,
  about: (sealed: SealedFolder) => string,
): Promise<Observation> {
  const seen = await readSealed(root, name)
  if (seen === undefined) return { state: 'absent', proof: `there is no ${name} in ${root}` }
  if ('broken' in seen) return { state: 'failed', reason: seen.broken }
  const written = attempt?.answer?.manifest ?? seen.manifest
  if (written !== seen.manifest) return { state: 'failed', reason: `the manifest of ${name} is not the one that was written` }
  return { state: 'present', proof: `${name}: ${about(seen)}; SHA-256 of its manifest ${seen.manifest}` }
}

/** What an attempt that was killed has left. */
async function sweepDrafts(root: string, name: string): Promise<void> {
  for (const entry of await readdir(root)) if (entry.startsWith(`.${name}.`)) await rm(join(root, entry), { recursive: true, force: true })
}

async function writeSynced(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o400)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** So that the names in a folder outlast a power cut. */
async function sync(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function moveTo(draft: string, folder: string): Promise<void> {
  try {
    await rename(draft, folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
  }
}

const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

/** What passes by itself, as soon as somebody makes room. */
const PASSING = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EMFILE', 'ENFILE', 'EBUSY', 'ESTALE', 'EAGAIN'])

function judged(error: unknown, root: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (error instanceof CordonError || code === undefined || typeof code !== 'string') return error
  const reason = `evidence cannot be kept in ${root}: ${messageOf(error)}`
  return new VendorError(
    { kind: PASSING.has(code) ? 'retry' : 'final', reason },
    'the folder must be there, writable by the user that Cordon runs as, on a disk with space',
  )
}
