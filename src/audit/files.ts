import { createReadStream } from 'node:fs'
import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** What an audit log is made of, in its folder. */
export interface AuditFiles {
  readonly folder: string
  /** The entries, one a line. */
  readonly entries: string
  /** All checkpoints, each followed by an empty line. */
  readonly checkpoints: string
  /** Where the writer goes on: made anew from the others where it is missing. */
  readonly state: string
  /** What the commitments of the entries open to: see seals.ts. */
  readonly seals: string
  readonly key: string
  readonly publicKey: string
}

export function auditFiles(folder: string): AuditFiles {
  return {
    folder,
    entries: join(folder, 'entries.log'),
    checkpoints: join(folder, 'checkpoints'),
    state: join(folder, 'state.json'),
    seals: join(folder, 'seals.db'),
    key: join(folder, 'key.pem'),
    publicKey: join(folder, 'key.pub'),
  }
}

/** The copy of a log's evidence that is kept elsewhere. */
export interface WitnessFiles {
  readonly folder: string
  readonly checkpoints: string
  /** The hash of each entry, in base64, one a line. */
  readonly hashes: string
}

export function witnessFiles(folder: string): WitnessFiles {
  return { folder, checkpoints: join(folder, 'checkpoints'), hashes: join(folder, 'hashes') }
}

/** A line of a file, without its newline, and where its bytes are. */
export interface FileLine {
  readonly text: string
  readonly from: number
  /** Behind its newline, where it has one. */
  readonly to: number
  readonly ended: boolean
}

const NEWLINE = 10

/** The lines of a file from a byte onwards; none where there is no file. What is not UTF-8 is read as such, and differs. */
export async function* linesOf(path: string, start = 0): AsyncGenerator<FileLine> {
  let rest: Buffer = Buffer.alloc(0)
  let from = start
  try {
    for await (const chunk of createReadStream(path, { start, highWaterMark: 1 << 16 })) {
      const data = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer])
      let begin = 0
      for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, begin)) {
        const to = from + end + 1 - begin
        yield { text: data.toString('utf8', begin, end), from, to, ended: true }
        begin = end + 1
        from = to
      }
      rest = data.subarray(begin)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  if (rest.length > 0) yield { text: rest.toString('utf8'), from, to: from + rest.length, ended: false }
}

/** Replaces a file as a whole, durably: whoever reads it finds the one or the other. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const fresh = `${path}.new`
  await withFile(fresh, 'w', async (file) => {
    await file.writeFile(text)
    await file.sync()
  })
  await rename(fresh, path)
  await syncFolder(dirname(path))
}

/** Appends to a file, durably; where that fails, such as on a full disk, nothing of it stays there. @returns where the file ends now */
export async function appendTo(path: string, text: string): Promise<number> {
  return withFile(path, 'a', async (file) => {
    const { size } = await file.stat()
    try {
      await file.writeFile(text)
      await file.datasync()
      return size + Buffer.byteLength(text)
    } catch (error) {
      await file.truncate(size)
      throw error
    }
  })
}

export async function syncFolder(path: string): Promise<void> {
  await withFile(path, 'r', (folder) => folder.sync())
}

async function withFile<T>(path: string, flags: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags, 0o600)
  try {
    return await work(file)
  } finally {
    await file.close()
  }
}
