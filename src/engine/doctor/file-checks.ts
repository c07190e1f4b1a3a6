import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { normaliserFor } from '../../normalise/index.ts'
import type { FilePosition } from '../../sources/source.ts'
import type { Config, FileSourceConfig } from '../config.ts'
import { dataPaths } from '../data-folder.ts'
import { attempt, type Diagnosis, ok, problem } from './diagnosis.ts'

/** The sources that are configured: whether their names are known, their files can be read, and how far they were. */
export async function configuredSourceChecks(config: Config): Promise<readonly Diagnosis[]> {
  const found = config.sources.map((source, at) =>
    attempt(`sources[${at}]`, () => {
      if (source.source !== undefined) normaliserFor(source.source)
      return source.type === 'file' ? [fileCheck(source, config)] : []
    }),
  )
  return (await Promise.all(found)).flat()
}

function fileCheck({ path }: FileSourceConfig, config: Config): Diagnosis {
  const check = `source ${path}`
  if (!existsSync(path)) return problem(check, 'there is no such file', 'check the path, and that its program runs')
  try {
    accessSync(path, constants.R_OK)
  } catch {
    return problem(check, 'it cannot be read', 'let the user that Cordon runs as read it')
  }
  const { dev, ino, size } = statSync(path, { bigint: true })
  const position = positionOf(config, `file:${path}`)
  if (position === undefined) return ok(check, 'not read yet')
  // After a rotation what is left of the old file comes first, so no number says how much is left.
  if (!position.file.startsWith(`${dev}:${ino}:`)) return ok(check, 'rotated since it was read last')
  return ok(check, `${Number(size) - position.offset} bytes are not read yet`)
}

/** How far a file was read. Read only: the database is the node's. */
function positionOf({ data }: Config, sender: string): FilePosition | undefined {
  const { ingest } = dataPaths(data)
  if (!existsSync(ingest)) return undefined
  const database = new DatabaseSync(ingest, { readOnly: true, timeout: 1_000 })
  try {
    return database.prepare('SELECT file, offset FROM positions WHERE sender = ?').get(sender) as FilePosition | undefined
  } finally {
    database.close()
  }
}
