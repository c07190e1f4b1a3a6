/**
 * What the kernel wrote when a process read a watched file and a child of it connected out, with this case's process, file and
 * destination in place of the recorded ones: for machines where kernel audit cannot be switched on.
 */
export function recordedAudit(facts: {
  readonly script: string
  readonly path: string
  readonly destination: string
  readonly uid: number
  readonly now: number
}): string {
  const { script, path, destination, uid, now } = facts
  const hex = (text: string) => Buffer.from(text).toString('hex').toUpperCase()
  const address = `02000050${destination
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join('')
    .toUpperCase()}0000000000000000`
  const read = `audit(${(now / 1_000).toFixed(3)}:5)`
  const connect = `audit(${((now + 50) / 1_000).toFixed(3)}:6)`
  const user = `auid=4294967295 uid=${uid} gid=${uid} euid=${uid} suid=${uid} fsuid=${uid} egid=${uid} sgid=${uid} fsgid=${uid} tty=(none) ses=4294967295`
  return `${[
    `type=SYSCALL msg=${read}: arch=c000003e syscall=257 success=yes exit=18 a0=ffffff9c a1=7ffc762f9fa8 a2=80000 a3=0 items=1 ppid=14777 pid=14836 ${user} comm="node" exe="/usr/bin/node" key="cordon-sensitive"`,
    `type=CWD msg=${read}: cwd="/tmp"`,
    `type=PATH msg=${read}: item=0 name="${path}" inode=10019493 dev=fe:00 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0`,
    `type=PROCTITLE msg=${read}: proctitle=${hex(`node\u0000${script}`)}`,
    `type=SYSCALL msg=${connect}: arch=c000003e syscall=42 success=no exit=-115 a0=5 a1=5625d9e3f548 a2=10 a3=7fff0def10e4 items=0 ppid=14836 pid=14844 ${user} comm="curl" exe="/usr/bin/curl" key="cordon-egress"`,
    `type=SOCKADDR msg=${connect}: saddr=${address}`,
    `type=PROCTITLE msg=${connect}: proctitle=${hex(`curl\u0000-s\u0000http://${destination}/`)}`,
  ].join('\n')}\n`
}
