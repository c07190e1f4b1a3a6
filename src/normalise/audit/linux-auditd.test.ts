import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { getPath } from '../../event/json.ts'
import type { BadRecord, VendorRecord } from '../normaliser.ts'
import { auditFramer } from './audit-framer.ts'
import { linuxAuditd } from './linux-auditd.ts'

const STAMP = '1790000000.123:901'
const hex = (text: string) => Buffer.from(text).toString('hex').toUpperCase()

/** Frames lines as a tail does, with the clock standing still, and ends the input. */
function frame(lines: readonly string[], now = 0): (VendorRecord | BadRecord)[] {
  const framer = auditFramer()
  let offset = 0
  const records = lines.flatMap((text, index) => {
    const pushed = framer.push({ text, line: index + 1, offset }, now)
    offset += text.length + 1
    return pushed
  })
  return [...records, ...framer.flush()]
}

function events(...lines: string[]) {
  return frame(lines).map((record) => {
    if (!('value' in record)) throw new Error(record.reason)
    return linuxAuditd.normalise(record.value)[0]!
  })
}

/** The event of these records, each given as `TYPE fields`. */
function event(...records: string[]) {
  const drafts = events(...records.map((record) => record.replace(/^(\S+) ?/, `type=$1 msg=audit(${STAMP}): `)))
  expect(drafts).toHaveLength(1)
  const [draft] = drafts
  return {
    draft: draft!,
    at: (path: string) => getPath(draft!.ecs, path),
    categories: draft!.logsource.flatMap(({ category }) => category ?? []),
  }
}

const syscall = (name: number, rest = '', success = 'success=yes exit=3') =>
  `SYSCALL arch=c000003e syscall=${name} ${success} ppid=700 pid=811 uid=1000 euid=1000 comm="libuv-worker" exe="/usr/bin/node" ${rest}`
const openat = (flags: string, success?: string) => syscall(257, `a0=ffffff9c a1=7ffd a2=${flags} a3=0 key="cordon_file"`, success)
const path = (name: string, nametype = 'NORMAL') => `PATH item=0 name=${name} inode=7 mode=0100640 ouid=0 ogid=0 nametype=${nametype}`
const PROCTITLE = `PROCTITLE proctitle=${hex('/usr/bin/node\0/opt/gemini.js\0-p\0two words')}`

describe('audit lines', () => {
  it('are grouped by their stamp, also where events interleave, and stand where they begin', () => {
    const order = fc.shuffledSubarray([0, 0, 0, 1, 1, 1, 2, 2, 2], { minLength: 9 })
    fc.assert(
      fc.property(order, (sequence) => {
        const next = [0, 0, 0]
        const types = ['SYSCALL', 'CWD', 'PROCTITLE']
        const lines = sequence.map((serial) => `type=${types[next[serial]!++]} msg=audit(1790000000.000:${serial}): pid=${serial}`)
        const records = frame(lines) as VendorRecord[]
        expect(records).toHaveLength(3)
        for (const { value, line, offset } of records) {
          const serial = Number(String(value.stamp).split(':')[1])
          expect((value.records as { type: string }[]).map(({ type }) => type)).toEqual(types)
          expect(line).toBe(sequence.indexOf(serial) + 1)
          expect(offset).toBe(lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0))
        }
      }),
    )
  })

  it('end with EOE or PROCTITLE, with a log that has moved on, or with silence', () => {
    const framer = auditFramer()
    const push = (text: string, now = 0) => framer.push({ text, line: 1, offset: 0 }, now).length
    expect(push('type=SYSCALL msg=audit(1790000000.000:1): pid=1')).toBe(0)
    expect(framer.pendingOffset()).toBe(0)
    expect(push('type=EOE msg=audit(1790000000.000:1): ')).toBe(1)
    expect(framer.pendingOffset()).toBeUndefined()
    expect(push('type=SYSCALL msg=audit(1790000001.000:2): pid=1')).toBe(0)
    expect(push('type=PROCTITLE msg=audit(1790000001.000:2): proctitle="x"')).toBe(1)
    expect(push('type=EOE msg=audit(1790000001.000:2): ')).toBe(0)
    expect(push('type=CONFIG_CHANGE msg=audit(1790000002.000:3): op=x')).toBe(0)
    expect(push('type=USER_LOGIN msg=audit(1790000004.001:4): res=success')).toBe(2)
    expect(push('type=CONFIG_CHANGE msg=audit(1790000005.000:5): op=x', 10_000)).toBe(0)
    expect(framer.flush(11_999)).toHaveLength(0)
    expect(framer.flush(12_000)).toHaveLength(1)
  })

  it('of two hosts with one stamp are two events', () => {
    const drafts = events(`node=a type=SYSCALL msg=audit(${STAMP}): pid=1`, `node=b type=SYSCALL msg=audit(${STAMP}): pid=2`)
    expect(drafts.map(({ ecs }) => getPath(ecs, 'host.name'))).toEqual(['a', 'b'])
    expect(new Set(drafts.map(({ producerId }) => producerId)).size).toBe(2)
  })

  it('that are none are bad records with their place; one that breaks off is read as far as it goes', () => {
    const [bad, cut] = frame(['type=SYSCALL msg=audit(17900', `type=USER_LOGIN msg=audit(${STAMP}): pid=12 msg='op=login acct="an`])
    expect(bad).toMatchObject({ line: 1, offset: 0, code: 'AUDIT_LINE_INVALID', text: 'type=SYSCALL msg=audit(17900' })
    expect(linuxAuditd.normalise((cut as VendorRecord).value)[0]!.ecs).toMatchObject({ process: { pid: 12 }, user: { name: 'an' } })
  })

  it('of any text are no exception', () => {
    const piece = fc.constantFrom(
      'type=SYSCALL ',
      `msg=audit(${STAMP}): `,
      'a0=',
      '"',
      "'",
      '=',
      ' ',
      'key=',
      hex('a\0b'),
      '\x1d',
      'msg=',
      'saddr=0200',
      'name=(null)',
      'x',
    )
    fc.assert(
      fc.property(
        fc.array(
          fc.array(piece).map((pieces) => pieces.join('')),
          { minLength: 1, maxLength: 4 },
        ),
        (lines) => {
          for (const record of frame(lines)) if ('value' in record) linuxAuditd.normalise(record.value)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('an audited file access', () => {
  it('names the file, the process and its script, the user and the rule', () => {
    const { draft, at, categories } = event(openat('0'), 'CWD cwd="/home/ana"', path('"/sensitive/pay.csv"'), PROCTITLE)
    expect(draft.time).toBe(1790000000123)
    expect(draft.logsource).toEqual([{ product: 'linux', category: 'file_access', service: 'auditd' }])
    expect(categories).toEqual(['file_access'])
    expect(at('event')).toMatchObject({ action: 'openat', outcome: 'success', category: ['file'], type: ['access'] })
    expect(at('file')).toMatchObject({ path: '/sensitive/pay.csv', name: 'pay.csv', mode: '0640' })
    expect(at('process')).toEqual({
      pid: 811,
      name: 'node',
      executable: '/usr/bin/node',
      args: ['/usr/bin/node', '/opt/gemini.js', '-p', 'two words'],
      command_line: '/usr/bin/node /opt/gemini.js -p two words',
      working_directory: '/home/ana',
      thread: { name: 'libuv-worker' },
      parent: { pid: 700 },
    })
    expect(at('user')).toEqual({ id: '1000' })
    expect(at('tags')).toEqual(['cordon_file'])
  })

  it.each([
    ['pay.csv', '/sensitive', '/sensitive/pay.csv'],
    ['../sensitive/./pay.csv', '/tmp', '/sensitive/pay.csv'],
    ['/tmp/..//sensitive/pay.csv', '/', '/sensitive/pay.csv'],
  ])('%s in %s is %s', (name, cwd, full) => {
    expect(event(openat('0'), `CWD cwd="${cwd}"`, path(`"${name}"`)).at('file.path')).toBe(full)
  })

  it('reads names in hexadecimal, and leaves a name relative to an unknown directory as it is', () => {
    expect(event(openat('0'), path(hex('/sensitive/mit leer "x".csv'))).at('file.path')).toBe('/sensitive/mit leer "x".csv')
    expect(event(syscall(257, 'a0=5 a2=0'), 'CWD cwd="/home"', path('"pay.csv"')).at('file.path')).toBe('pay.csv')
  })

  it('tells reading, writing, making, renaming and removing apart', () => {
    const of = (...records: string[]) => {
      const { categories, at } = event(...records)
      return [categories, at('file.path')]
    }
    expect(of(openat('1'), path('"/a"'))).toEqual([['file_change'], '/a'])
    expect(of(openat('2'), path('"/a"'))).toEqual([['file_access', 'file_change'], '/a'])
    expect(of(openat('241'), path('"/a"'))).toEqual([['file_event'], '/a'])
    expect(of(openat('c1'), path('"/d/"', 'PARENT'), path('"/d/a"', 'CREATE'))).toEqual([['file_event'], '/d/a'])
    expect(of(syscall(87), path('"/d/"', 'PARENT'), path('"/d/a"', 'DELETE'))).toEqual([['file_delete'], '/d/a'])
    expect(of(syscall(82), path('"/d/"', 'PARENT'), path('"/e/"', 'PARENT'), path('"/d/a"', 'DELETE'), path('"/e/b"', 'CREATE'))).toEqual([
      ['file_rename'],
      ['/d/a', '/e/b'],
    ])
    expect(of(syscall(90), path('"/a"'))).toEqual([['file_change'], '/a'])
  })

  it('that was refused keeps path and outcome, and is no access', () => {
    const { at, draft } = event(openat('0', 'success=no exit=-13'), path('"/sensitive/pay.csv"'))
    expect([at('event.outcome'), at('error.code'), at('file.path')]).toEqual(['failure', 'EACCES', '/sensitive/pay.csv'])
    expect(draft.logsource).toEqual([{ product: 'linux', service: 'auditd' }])
  })

  it('is found by name on aarch64, and by the enriched name anywhere', () => {
    expect(event('SYSCALL arch=c00000b7 syscall=56 success=yes a0=ffffff9c a2=0', path('"/a"')).at('event.action')).toBe('openat')
    const enriched = event('SYSCALL arch=c0000015 syscall=286 success=yes uid=1000 key=(null)\x1dARCH=ppc64le SYSCALL=openat UID="ana"')
    expect(enriched.at('event.action')).toBe('openat')
    expect(enriched.at('user')).toEqual({ id: '1000', name: 'ana' })
    expect(enriched.at('tags')).toBeUndefined()
  })
})

describe('an audited connection', () => {
  const connect = (saddr: string, result = 'success=no exit=-115') =>
    event(syscall(42, 'key="cordon_net"', result), `SOCKADDR saddr=${saddr}`, PROCTITLE)

  it('leaves the device, and one in progress has failed at nothing', () => {
    const { at, categories } = connect('020001BBCB0071420000000000000000')
    expect(at('destination')).toEqual({ ip: '203.0.113.66', port: 443, address: '203.0.113.66' })
    expect(at('network')).toEqual({ direction: 'egress', type: 'ipv4' })
    expect(at('event.outcome')).toBe('unknown')
    expect(categories).toEqual(['network_connection'])
    expect(connect('020001BBCB0071420000000000000000', 'success=no exit=-111').at('error.code')).toBe('ECONNREFUSED')
  })

  it('decodes every family, whatever the address', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 0, max: 65535 }), (ip, port) => {
        const saddr = `0200${port.toString(16).padStart(4, '0')}${Buffer.from(ip.split('.').map(Number)).toString('hex')}0000000000000000`
        expect(connect(saddr.toUpperCase()).at('destination')).toMatchObject({ ip, port })
      }),
      { numRuns: 50 },
    )
    expect(connect('0A0001BB0000000020010DB80000000000000000000000').at('destination.ip')).toBeUndefined()
    expect(connect('0A0001BB0000000020010DB800000000000000000000004200000000').at('destination')).toMatchObject({
      ip: '2001:db8::42',
      port: 443,
    })
    expect(connect('0A0001BB0000000000000000000000000000FFFFCB00714200000000').at('destination.ip')).toBe('203.0.113.66')
    const local = connect(`0100${hex('/run/docker.sock')}00`)
    expect([local.at('destination.address'), local.categories]).toEqual(['/run/docker.sock', []])
    expect(connect(`010000${hex('abstract')}`).at('destination.address')).toBe('@abstract')
    for (const broken of ['', '02', '0200', 'ZZ', '100000000000000000000000']) expect(connect(broken).at('destination')).toBeUndefined()
  })

  it('that comes in has its peer as source', () => {
    const { at } = event(syscall(288), 'SOCKADDR saddr=0200D2E50A8E00020000000000000000')
    expect([at('source.ip'), at('network.direction'), at('destination')]).toEqual(['10.142.0.2', 'ingress', undefined])
  })
})

describe('audited processes', () => {
  it('start with their arguments, also those that come in hexadecimal or in pieces', () => {
    const { at, categories } = event(
      syscall(59),
      `EXECVE argc=4 a0="curl" a1=${hex('two words')} a2_len=6 a2[0]="abc" a2[1]="def" a3=""`,
      PROCTITLE,
    )
    expect(at('process.args')).toEqual(['curl', 'two words', 'abcdef', ''])
    expect(categories).toEqual(['process_creation'])
    expect(event(syscall(59, '', 'success=no exit=-2'), 'EXECVE argc=1 a0="nosuch"').categories).toEqual([])
  })

  it('that fork are the parents of what they made, threads are not', () => {
    const fork = event(syscall(57, '', 'success=yes exit=900'))
    expect([fork.at('process.pid'), fork.at('process.parent.pid'), fork.at('event.type')]).toEqual([900, 811, ['start']])
    const thread = event(syscall(56, 'a0=3d0f00', 'success=yes exit=901'))
    expect([thread.at('process.pid'), thread.at('event.category')]).toEqual([811, undefined])
    expect(event(syscall(56, 'a0=1200011', 'success=yes exit=902')).at('process.pid')).toBe(902)
  })

  it('end', () => {
    const { at, categories } = event('SYSCALL arch=c000003e syscall=231 a0=1 pid=811 ppid=700')
    expect([at('event.type'), at('process.exit_code'), categories]).toEqual([['end'], 1, ['process_termination']])
  })
})

describe('audited logins', () => {
  it('are authentication, with account, address and outcome', () => {
    const { at, categories } = event(
      `USER_LOGIN pid=1 uid=0 auid=4294967295 msg='op=login acct=${hex('(invalid user)')} exe="/usr/sbin/sshd" hostname=? addr=198.51.100.7 terminal=sshd res=failed'`,
    )
    expect(categories).toEqual(['authentication'])
    expect([at('user.name'), at('source.ip'), at('event.outcome'), at('process.executable')]).toEqual([
      '(invalid user)',
      '198.51.100.7',
      'failure',
      '/usr/sbin/sshd',
    ])
  })
})

it('native has every field of every record under its own name, as rules for auditd ask for them', () => {
  const { draft } = event(syscall(59, `key=${hex('exec\x0164bit')}`), 'EXECVE argc=2 a0="chmod" a1="777"', path('"/a"'), path('"/b"'))
  expect(draft.native).toMatchObject({
    type: ['SYSCALL', 'EXECVE', 'PATH', 'PATH'],
    a0: 'chmod',
    a1: '777',
    name: ['/a', '/b'],
    key: 'exec\x0164bit',
    stamp: STAMP,
  })
  expect(draft.ecs.tags).toEqual(['exec', '64bit'])
})
