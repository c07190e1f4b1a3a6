import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, type RealServer, run, startProcess } from './server.ts'

const PROGRAM = 'prometheus-alertmanager'

/** A real Alertmanager, from the Debian package; installs it if it is missing and this is root on a Debian. */
export async function startAlertmanager(): Promise<RealServer> {
  await install()
  const address = `127.0.0.1:${await freePort()}`
  return startProcess({
    name: 'alertmanager',
    program: PROGRAM,
    args: async (folder) => {
      const config = join(folder, 'alertmanager.yml')
      await writeFile(
        config,
        'route: { receiver: soc, group_by: [incident], group_wait: 1s, group_interval: 1s, repeat_interval: 1h }\nreceivers: [{ name: soc }]\n',
      )
      return [`--config.file=${config}`, `--storage.path=${folder}`, `--web.listen-address=${address}`, '--cluster.listen-address=']
    },
    url: `http://${address}`,
    ready: `http://${address}/-/ready`,
  })
}

async function install(): Promise<void> {
  const present = await run(PROGRAM, ['--version']).then(
    () => true,
    () => false,
  )
  if (!present) await run('apt-get', ['install', '-y', '--no-install-recommends', PROGRAM], { timeout: 550_000 })
}
