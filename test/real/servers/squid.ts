import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, type RealServer, run, startProcess } from './server.ts'

const GUIDE = new URL('../../../docs/guides/sources/squid.md', import.meta.url)

/** A real Squid, from the Debian package, that writes its log as the guide says; refuses what it is told to. */
export async function startSquid(refused: string): Promise<RealServer & { readonly log: string }> {
  await install()
  const logformat = /^logformat cordon .*$/m.exec(await readFile(GUIDE, 'utf8'))![0]
  const address = `127.0.0.1:${await freePort()}`
  const server = await startProcess({
    name: 'squid',
    program: 'squid',
    args: async (folder) => {
      // It gives up root, and must still write here.
      await chmod(folder, 0o777)
      const lines = [
        `http_port ${address}`,
        `pid_filename ${join(folder, 'squid.pid')}`,
        `cache_log ${join(folder, 'cache.log')}`,
        `coredump_dir ${folder}`,
        'pinger_enable off',
        'shutdown_lifetime 0 seconds',
        'visible_hostname proxy.test',
        `acl refused dstdomain ${refused}`,
        'http_access deny refused',
        'http_access allow all',
        logformat,
        `access_log stdio:${join(folder, 'cordon.json')} cordon`,
      ]
      const config = join(folder, 'squid.conf')
      await writeFile(config, `${lines.join('\n')}\n`)
      return ['-N', '-f', config]
    },
    url: `http://${address}`,
    ready: `http://${address}/`,
  })
  return { ...server, log: join(server.folder, 'cordon.json') }
}

async function install(): Promise<void> {
  const present = await run('squid', ['-v']).then(
    () => true,
    () => false,
  )
  if (!present) await run('apt-get', ['install', '-y', '--no-install-recommends', 'squid'], { timeout: 550_000 })
}
