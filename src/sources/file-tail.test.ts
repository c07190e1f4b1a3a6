import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { CordonError } from '../event/error.ts'
import { normaliserFor } from '../normalise/index.ts'
import { FileTail } from './file-tail.ts'
import type { Delivery, FilePosition, Intake } from './source.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-tail-'))
  path = join(folder, 'agent.log')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** The engine's side: keeps records by their identity, as the events log does, and the last position. */
class Log implements Intake {
  readonly entries = new Map<string, unknown>()
  readonly order: number[] = []
  position: FilePosition | undefined
  fail: () => boolean = () => false

  framer(source: string | undefined) {
    return normaliserFor(source ?? 'ecs.passthrough').framer()
  }

  async accept({ records, fileIdentity, position }: Delivery) {
    if (this.fail()) throw new Error('the disk is full')
    let duplicates = 0
    for (const record of records) {
      const id = `${fileIdentity} ${record.offset}`
      const content = 'value' in record ? record.value : record
      if (this.entries.has(id)) {
        expect(this.entries.get(id)).toEqual(content)
        duplicates++
        continue
      }
      this.entries.set(id, content)
      if ('value' in record && typeof record.value.n === 'number') this.order.push(record.value.n)
    }
    this.position = position ?? this.position
    return { accepted: records.length - duplicates, duplicates, deadLettered: 0, errors: [] }
  }
}

function tailOf(log: Log, options: { source?: string; from?: 'start' | 'end'; problems?: CordonError[] } = {}) {
  const tail = new FileTail({
    path,
    name: 'test',
    source: options.source,
    intake: log,
    resume: log.position,
    from: options.from ?? 'start',
    onProblem: (problem) => options.problems?.push(problem),
    pollEvery: 2,
    rotateWait: 15,
  })
  tail.start()
  return tail
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `${JSON.stringify({ n: from + index, pad: 'x'.repeat((from + index) % 50) })}\n`).join('')
const numbers = (to: number) => Array.from({ length: to }, (_, index) => index)
const until = (condition: () => void) => vi.waitFor(condition, { timeout: 5_000, interval: 5 })

describe('a tail', () => {
  it('waits for its file, reads what is there, and follows', async () => {
    const log = new Log()
    const tail = tailOf(log)
    await sleep(10)
    writeFileSync(path, numbered(0, 3))
    await until(() => expect(log.order).toEqual(numbers(3)))
    appendFileSync(path, '{"n":3')
    await sleep(20)
    expect(log.order).toEqual(numbers(3))
    appendFileSync(path, '}\n')
    await until(() => expect(log.order).toEqual(numbers(4)))
    await tail.stop()
  })

  it('begins at the end of a file that it never read, and remembers that', async () => {
    writeFileSync(path, `${numbered(0, 5)}{"n":5`)
    const log = new Log()
    let tail = tailOf(log, { from: 'end' })
    await until(() => expect(log.position).toBeDefined())
    await tail.stop()
    appendFileSync(path, `}\n${numbered(6, 8)}`)
    tail = tailOf(log, { from: 'end' })
    await until(() => expect(log.order).toEqual([5, 6, 7]))
    await tail.stop()
  })

  it('hands a batch over until it is taken, and never reports the same problem twice', async () => {
    const log = new Log()
    const problems: CordonError[] = []
    let refusals = 3
    log.fail = () => refusals-- > 0
    writeFileSync(path, numbered(0, 4))
    const tail = tailOf(log, { problems })
    await until(() => expect(log.order).toEqual(numbers(4)))
    await tail.stop()
    expect(problems.map((problem) => problem.code)).toEqual(['TAIL_INTAKE'])
  })

  it.each(['start', 'end'] as const)('reads the header of a log again that it goes on with in the middle, from its %s', async (from) => {
    const log = new Log()
    const row = (n: number) => `179000000${n}\t${n}\n`
    writeFileSync(path, `#separator \\x09\n#path\tconn\n#fields\tts\tn\n#types\ttime\tcount\n${row(0)}`)
    let tail = tailOf(log, { source: 'zeek', from })
    await until(() => expect(log.position).toBeDefined())
    await tail.stop()
    appendFileSync(path, row(1))
    tail = tailOf(log, { source: 'zeek', from })
    await until(() => expect(log.order).toEqual(from === 'start' ? [0, 1] : [1]))
    await tail.stop()
    expect([...log.entries.values()].at(-1)).toEqual({ _path: 'conn', ts: 1790000001, n: 1 })
  })

  it('does not acknowledge an event that is still open, and gives it out whole after a restart', async () => {
    const log = new Log()
    const record = (type: string, rest = '') => `type=${type} msg=audit(1790000000.000:7): ${rest}\n`
    writeFileSync(path, `type=USER_LOGIN msg=audit(1790000000.000:6): pid=1 res=1\n${record('SYSCALL', 'syscall=42 pid=9')}`)
    let tail = tailOf(log, { source: 'linux.auditd' })
    await until(() => expect(log.entries.size).toBe(1))
    await tail.stop()
    expect(log.entries.size).toBe(1)
    appendFileSync(path, record('CWD', 'cwd="/"') + record('PROCTITLE', 'proctitle="x"'))
    tail = tailOf(log, { source: 'linux.auditd' })
    await until(() => expect(log.entries.size).toBe(2))
    await tail.stop()
    const [, event] = [...log.entries.values()] as { records: { type: string }[] }[]
    expect(event!.records.map(({ type }) => type)).toEqual(['SYSCALL', 'CWD', 'PROCTITLE'])
  })

  it('joins an event whose lines rotation has split between two files', async () => {
    const log = new Log()
    writeFileSync(path, 'type=SYSCALL msg=audit(1790000000.000:7): syscall=42 pid=9\n')
    const tail = tailOf(log, { source: 'linux.auditd' })
    await sleep(20)
    renameSync(path, `${path}.1`)
    writeFileSync(path, 'type=PROCTITLE msg=audit(1790000000.000:7): proctitle="x"\n')
    await until(() => expect(log.entries.size).toBe(1))
    await tail.stop()
    const [event] = [...log.entries.values()] as { records: { type: string }[] }[]
    expect(event!.records.map(({ type }) => type)).toEqual(['SYSCALL', 'PROCTITLE'])
  })

  it('counts the generations of a log that begins with the same line each time', async () => {
    const log = new Log()
    const header = '{"n":0}\n'
    writeFileSync(path, `${header}{"n":1}\n{"n":2}\n`)
    const tail = tailOf(log)
    await until(() => expect(log.order).toEqual([0, 1, 2]))
    truncateSync(path)
    appendFileSync(path, `${header}{"n":8}\n`)
    await until(() => expect(log.order).toEqual([0, 1, 2, 0, 8]))
    await tail.stop()
  })

  it('says when what it had read last is gone', async () => {
    const log = new Log()
    log.position = { file: '1:2:0011223344556677', offset: 10 }
    const problems: CordonError[] = []
    writeFileSync(path, numbered(0, 2))
    const tail = tailOf(log, { problems })
    await until(() => expect(log.order).toEqual(numbers(2)))
    await tail.stop()
    expect(problems.map((problem) => problem.code)).toEqual(['TAIL_LOST'])
  })

  it.skipIf(process.platform !== 'linux')('leaves nothing open that it cannot read [linux]', async () => {
    const log = new Log()
    const problems: CordonError[] = []
    mkdirSync(path)
    const tail = tailOf(log, { problems })
    await until(() => expect(problems).toHaveLength(1))
    await sleep(50)
    await tail.stop()
    const open = readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(join('/proc/self/fd', fd))
      } catch {
        return ''
      }
    })
    expect(open.filter((file) => file === path)).toEqual([])
  })

  it('reads every line once, in order, whatever the chunks, the rotations and the restarts', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), lines: fc.integer({ min: 1, max: 40 }), cut: fc.nat(60) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('rename' as const, 'copytruncate' as const) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const), outage: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), millis: fc.integer({ min: 1, max: 25 }) }) },
    )
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
        path = join(folder, `run-${run++}`, 'agent.log')
        mkdirSync(dirname(path))
        writeFileSync(path, numbered(0, 1))
        const log = new Log()
        let tail: FileTail | undefined = tailOf(log)
        await until(() => expect(log.order).toEqual([0]))
        let count = 1
        let held = ''
        let rotations = 0
        const rotate = (move: () => void) => {
          for (let old = rotations; old > 0; old--) renameSync(`${path}.${old}`, `${path}.${old + 1}`)
          move()
          rotations++
        }
        for (const action of steps) {
          if (action.kind === 'write') {
            const text = held + numbered(count, count + action.lines)
            count += action.lines
            // The cut leaves the end of the last line for the next write, as a buffering writer does.
            const now = text.slice(0, Math.max(1, text.length - action.cut))
            held = text.slice(now.length)
            appendFileSync(path, now)
          } else if (action.kind === 'wait') await sleep(action.millis)
          else if (action.kind === 'restart') {
            await tail?.stop()
            tail = action.outage ? undefined : tailOf(log)
          } else {
            // A writer ends its line before its log is rotated.
            appendFileSync(path, held)
            held = ''
            if (action.kind === 'rename') rotate(() => renameSync(path, `${path}.1`))
            else {
              rotate(() => copyFileSync(path, `${path}.1`))
              truncateSync(path)
            }
            appendFileSync(path, numbered(count, count + 1))
            count++
          }
        }
        appendFileSync(path, held)
        tail ??= tailOf(log)
        await until(() => expect(log.order.length).toBeGreaterThanOrEqual(count))
        await tail.stop()
        expect(log.order).toEqual(numbers(count))
      }),
      // What goes wrong here takes seconds to show, and is seldom the same twice: not worth shrinking.
      { numRuns: 60, endOnFailure: true },
    )
  }, 120_000)
})
