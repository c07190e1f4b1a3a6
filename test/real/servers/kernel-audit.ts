import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** The kernel's audit switch is global: one recorder at a time. */
export interface KernelAudit {
  /** The file that auditd writes. */
  readonly log: string
  stop(): Promise<void>
}

/** Why kernel audit cannot be used here; undefined if it can. */
export function kernelAuditMissing(): string | undefined {
  if (process.env.CORDON_TEST_RECORDED_AUDIT !== undefined) return '[kernel] CORDON_TEST_RECORDED_AUDIT asks for recorded records'
  if (process.getuid?.() !== 0) return '[root] kernel audit needs root'
  const status = spawnSync('auditctl', ['-s'], { encoding: 'utf8' })
  if (status.error !== undefined) return 'auditctl is not installed (Debian package auditd)'
  return status.status === 0 ? undefined : '[kernel] this kernel has no audit'
}

/**
 * Starts a recorder of who reads which file below `watch`, and who connects where, with the rules that the documentation asks for.
 * Stopping removes only these rules and puts the kernel's switch back as it was.
 *
 * @param user whose processes are also recorded as they start each other: an agent's tools are the agent's by descent alone
 */
export async function startKernelAudit(folder: string, watch: string, user?: number): Promise<KernelAudit> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const log = join(folder, 'audit.log')
  writeFileSync(log, '', { mode: 0o600 })
  const settings = readFileSync('/etc/audit/auditd.conf', 'utf8')
    .replace(/^log_file *=.*/m, `log_file = ${log}`)
    .replace(/^log_group *=.*/m, 'log_group = root')
    .replace(/^flush *=.*/m, 'flush = INCREMENTAL_ASYNC')
  writeFileSync(join(folder, 'auditd.conf'), settings, { mode: 0o640 })
  const control = (...args: string[]) => execFileSync('auditctl', args, { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' })
  const before = /^enabled (\d)/m.exec(control('-s'))?.[1] ?? '0'
  const watchRule = [watch, '-p', 'r', '-k', 'cordon-sensitive']
  const connectRule = ['always,exit', '-F', 'arch=b64', '-S', 'connect', '-F', 'a2!=110', '-k', 'cordon-egress']
  const ofUser = ['-F', 'arch=b64', '-F', `uid=${user}`]
  const descentRules = [
    ['never,exit', ...ofUser, '-S', 'clone', '-F', 'a0&0x10000'],
    ['always,exit', ...ofUser, '-S', 'clone,fork,vfork,execve', '-k', 'cordon-process'],
  ].slice(user === undefined ? 2 : 0)
  control('-e', '1')
  control('-w', ...watchRule)
  for (const rule of [connectRule, ...descentRules]) control('-a', ...rule)
  const daemon = spawn('auditd', ['-n', '-s', 'nochange', '-c', folder], { stdio: 'ignore' })
  const died = new Promise<never>((_, reject) => daemon.once('exit', (code) => reject(new Error(`auditd ended with ${code}`))))
  died.catch(() => {})
  await Promise.race([setTimeout(800), died])
  return {
    log,
    async stop() {
      for (const args of [['-W', ...watchRule], ...[connectRule, ...descentRules].map((rule) => ['-d', ...rule]), ['-e', before]])
        spawnSync('auditctl', args)
      const gone = new Promise((resolve) => daemon.once('exit', resolve))
      daemon.kill('SIGTERM')
      await Promise.race([gone, setTimeout(3_000)])
    },
  }
}
