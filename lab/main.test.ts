import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const run = promisify(execFile)
const EVENT = /^curl .*\/v1\/events/
const METRICS = /^curl .*\/metrics/

/** `npm start`'s own command, with what it prints. */
class Lab {
  text = ''
  readonly process: ChildProcess
  readonly exit: Promise<unknown[]>

  constructor(...args: string[]) {
    this.process = spawn('node', ['lab/main.ts', ...args], { cwd: ROOT, env: { ...process.env, NO_COLOR: '1' } })
    this.exit = once(this.process, 'exit')
    for (const stream of [this.process.stdout!, this.process.stderr!]) stream.on('data', (chunk) => (this.text += String(chunk)))
  }

  async until(pattern: RegExp, patience = 30_000): Promise<RegExpExecArray> {
    for (const deadline = Date.now() + patience; ; await sleep(25)) {
      const found = pattern.exec(this.text)
      if (found !== null) return found
      if (Date.now() > deadline || this.process.exitCode !== null) throw new Error(`${pattern} was not said in:\n${this.text}`)
    }
  }

  /** The line that it says to type. */
  command(pattern: RegExp): string {
    return this.text
      .split('\n')
      .map((line) => line.trim())
      .find((line) => pattern.test(line))!
  }

  /** Twice, as it comes through npm: once from the terminal to the whole group, once passed on. */
  async stop(signal: NodeJS.Signals): Promise<unknown> {
    this.process.kill(signal)
    await sleep(20)
    this.process.kill(signal)
    return (await this.exit)[0]
  }
}

describe('npm start', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = new Lab()
    await lab.until(/Ctrl-C stops it/)
  }, 60_000)
  afterAll(() => lab.process.kill('SIGKILL'))

  test('tells the story: events, alert with evidence, incident, containment confirmed, tokens dead, times', () => {
    expect(lab.text).toContain('CORDON LAB')
    expect(lab.text).not.toContain('\u001b')
    for (const part of [
      /the agent's capability token works: 200/,
      /curl connects to 203\.0\.113\.66:8080/,
      /ALERT +Agent reads sensitive data, then connects to a destination that is not allowed/,
      /file\.path: '\/sensitive\/\*' +← \/sensitive\/payroll\.csv/,
      /incident +[0-9a-f]{8} open: Agent gemini on laptop-7/,
      /MDM +accepts the quarantine/,
      /MDM +DEVICE QUARANTINED/,
      /the device lists profile org\.cordon\.quarantine\.[0-9a-f]{32}/,
      /tokens +REVOKED/,
      /paging +ON-CALL HAS IT/,
      /the same token again: 403/,
      /accepted by the MDM after \d+ ms, confirmed by the device after \d+ ms/,
    ])
      expect(lab.text).toMatch(part)
  })

  test('the founding rule fires once, and all that the agent did is one incident', () => {
    expect(lab.text.match(/ALERT +Agent reads sensitive data, then/g)).toHaveLength(1)
    expect(lab.text.match(/ open: /g)).toHaveLength(1)
    expect(lab.text).not.toMatch(/^ +[\d.]+ s +error/m)
  })

  test('the printed curl line works as it stands, and its alert shows', async () => {
    const { stdout } = await run('bash', ['-c', lab.command(EVENT)])
    expect(JSON.parse(stdout)).toEqual({ accepted: 1, duplicates: 0, dead_lettered: 0, errors: [] })
    await lab.until(/ALERT +Agent reads a credential file/)
  })

  test('everything that was sent is counted', async () => {
    const { stdout } = await run('bash', ['-c', lab.command(METRICS)])
    const taken = (labels: string) => Number(new RegExp(`^cordon_ingest_records_total\\{${labels}[^}]*\\} (\\d+)`, 'm').exec(stdout)?.[1])
    expect(taken('source="linux.auditd",transport="http-json",outcome="accepted"')).toBe(40)
    expect(taken('source="recognised",transport="otlp-http",outcome="accepted"')).toBe(18)
    expect(taken('source="recognised",transport="http-json",outcome="accepted"')).toBe(1)
    expect(stdout).not.toMatch(/outcome="(duplicate|dead_letter)"[^}]*\} [1-9]/)
  })

  test('the printed commands work as they stand; an undo releases the device', async () => {
    for (const command of ['incidents list', 'alerts list', 'actions list']) {
      const { stdout } = await run('bash', ['-c', lab.command(new RegExp(`^node bin/cordon.mjs ${command}`))], { cwd: ROOT })
      expect(stdout).toContain('laptop-7')
    }
    await run('bash', ['-c', lab.command(/^node bin\/cordon.mjs actions undo/)], { cwd: ROOT })
    await lab.until(/MDM +device released/)
  }, 60_000)

  test('what was undone is no longer in the metrics as confirmed', async () => {
    const { stdout } = await run('bash', ['-c', lab.command(METRICS)])
    expect(stdout).toMatch(/cordon_effects\{verb="quarantine_device",state="REVERTED"[^}]*\} 1/)
    expect(stdout).not.toMatch(/cordon_effects\{verb="quarantine_device",state="CONFIRMED"[^}]*\} 1/)
  })

  test('without its token nothing is taken in', async () => {
    const stranger = lab.command(EVENT).replace(/cdi_[\w-]+/, 'cdi_wrong')
    expect((await run('bash', ['-c', stranger])).stdout).toContain('bearer token')
  })

  test('Ctrl-C ends it with 0 and removes its data', async () => {
    const folder = /Everything of this lab is in (\S+)/.exec(lab.text)![1]!
    expect(existsSync(folder)).toBe(true)
    expect(await lab.stop('SIGINT')).toBe(0)
    expect(existsSync(folder)).toBe(false)
  })
})

test('ports that are taken: it says so, and works all the same; SIGTERM ends it with 0', async () => {
  // The preferred ports may be taken by others already: then it has nothing to add.
  const squatters = [4318, 4319].map((port) =>
    createServer()
      .on('error', () => {})
      .listen(port, '127.0.0.1'),
  )
  const lab = new Lab()
  try {
    await lab.until(/Ctrl-C stops it/)
    for (const port of [4318, 4319]) expect(lab.text).toContain(`Port ${port} is taken`)
    expect(lab.text).toMatch(/DEVICE QUARANTINED/)
    const { stdout } = await run('bash', ['-c', lab.command(EVENT)])
    expect(JSON.parse(stdout)).toMatchObject({ accepted: 1 })
    expect(await lab.stop('SIGTERM')).toBe(0)
  } finally {
    lab.process.kill('SIGKILL')
    for (const squatter of squatters) squatter.close()
  }
}, 60_000)

test('stopped in the middle of the story it leaves nothing behind', async () => {
  const lab = new Lab()
  const [, log] = await lab.until(/log (\S+)\/engine\.log/)
  expect(await lab.stop('SIGINT')).toBe(0)
  expect(existsSync(log!)).toBe(false)
  expect(lab.text).not.toContain('Error')
}, 60_000)

test('with a configuration it is the real thing, and no lab', async () => {
  const lab = new Lab('--config', join(ROOT, 'lab', 'no-such.yml'))
  expect((await lab.exit)[0]).toBe(3)
  expect(lab.text).toContain('CONFIG_NOT_FOUND')
  expect(lab.text).not.toContain('LAB ')
})
