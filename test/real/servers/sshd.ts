import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, run } from './server.ts'

export interface RealSshd {
  /** The settings of a responder that acts through this host. */
  readonly host: { readonly url: string; readonly key: string; readonly known_hosts: string }
  /** A known_hosts file with the key of another host. */
  readonly strangers: string
  stop(): Promise<void>
}

/** Why no sshd of root's can be started here; undefined if it can. */
export function sshdMissing(): string | undefined {
  return process.getuid?.() === 0 ? undefined : '[root] sshd needs root to let root in'
}

/** A real OpenSSH server on loopback with one key, which runs the forced command and nothing else. Needs root. */
export async function startSshd(forcedCommand: string): Promise<RealSshd> {
  const folder = await mkdtemp(join(tmpdir(), 'cordon-sshd-'))
  const port = await freePort()
  const at = (name: string) => join(folder, name)
  for (const name of ['host', 'stranger', 'client']) await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', at(name)])
  const publicKey = async (name: string) => (await readFile(at(`${name}.pub`), 'utf8')).split(' ').slice(0, 2).join(' ')
  await writeFile(at('authorized_keys'), `command="${forcedCommand}",restrict ${await publicKey('client')}\n`, { mode: 0o600 })
  for (const name of ['host', 'stranger']) await writeFile(at(`known-${name}`), `[127.0.0.1]:${port} ${await publicKey(name)}\n`)
  const settings = ['ListenAddress 127.0.0.1', `Port ${port}`, `HostKey ${at('host')}`, `AuthorizedKeysFile ${at('authorized_keys')}`]
  const rules = ['PermitRootLogin forced-commands-only', 'PasswordAuthentication no', 'UsePAM no', 'StrictModes no', 'PidFile none']
  await writeFile(at('sshd_config'), `${[...settings, ...rules].join('\n')}\n`)
  await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', at('sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] })
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => (output = (output + chunk).slice(-5_000)))
  child.on('error', (error) => (output += error.message))
  process.once('exit', () => child.kill('SIGKILL'))
  const stop = async () => {
    child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
  for (let attempt = 0; !(await listens(port)); attempt++) {
    if (attempt < 50 && child.exitCode === null && !output.includes('ENOENT')) await sleep(100)
    else {
      await stop()
      throw new Error(`sshd did not start (Debian package openssh-server): ${output}`)
    }
  }
  const host = { url: `ssh://root@127.0.0.1:${port}`, key: at('client'), known_hosts: at('known-host') }
  return { host, strangers: at('known-stranger'), stop }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
