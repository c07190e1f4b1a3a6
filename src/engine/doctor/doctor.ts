import { existsSync } from 'node:fs'
import type { Settings } from '../../settings/settings-file.ts'
import { type Config, readConfig } from '../config.ts'
import { dataPaths } from '../data-folder.ts'
import { withStreams } from '../streams.ts'
import { auditChecks } from './audit-checks.ts'
import { clusterChecks } from './cluster-checks.ts'
import { attempt, type Diagnosis, ok, problemsOf } from './diagnosis.ts'
import { configuredSourceChecks } from './file-checks.ts'
import { logChecks } from './log-checks.ts'
import { engineChecks, folderChecks } from './node-checks.ts'
import { siteChecks } from './site-checks.ts'

export type { Diagnosis }

/**
 * Looks at everything that a node depends on, running or not, and says what is wrong and what to do about it. It sends nothing but
 * questions, changes nothing, and throws nothing: what cannot be looked at is a finding.
 *
 * @param configPath of cordon.yml; a mistake there is all that is found
 * @param token an API key: with it a running node is asked for its own health
 */
export async function examine(configPath: string, token: string | undefined): Promise<readonly Diagnosis[]> {
  let settings: Settings<Config>
  try {
    settings = readConfig(configPath)
  } catch (error) {
    return problemsOf('configuration', error)
  }
  const { data: config } = settings
  const found = await Promise.all([
    [ok('configuration', configPath)],
    siteChecks(config),
    attempt('data folder', () => folderChecks(config)),
    auditChecks(config),
    attempt('engine', () => engineChecks(config, token)),
    configuredSourceChecks(config),
    clustersAndLogs(settings),
  ])
  return found.flat()
}

async function clustersAndLogs(settings: Settings<Config>): Promise<readonly Diagnosis[]> {
  const clusters = await clusterChecks(settings)
  // What keeps Kafka from being read is said already.
  if (clusters.some(({ check, level }) => check === 'kafka' && level === 'problem')) return clusters
  return [...clusters, ...(await attempt('events', () => recordedChecks(settings.data)))]
}

async function recordedChecks(config: Config): Promise<readonly Diagnosis[]> {
  // Before the first start there is nothing recorded: the engine's own finding says that it does not run.
  if (config.streams.kind === 'embedded' && !existsSync(dataPaths(config.data).streams)) return []
  return withStreams(config, { append: false }, logChecks)
}
