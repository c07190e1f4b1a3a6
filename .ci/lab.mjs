// `npm start` as a newcomer types it: its story has to appear, and a signal has to end it with 0, its data removed.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const STORY = [
  'CORDON LAB',
  'ALERT',
  'DEVICE QUARANTINED',
  '200 OK',
  '403 permission denied',
  'ON-CALL HAS IT',
  'Time to contain',
  'Ctrl-C stops it',
]
const PATIENCE = 60_000

const lab = spawn('npm', ['start'], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
let text = ''
let ended
lab.once('exit', (code, signal) => {
  ended = code ?? signal
})
for (const stream of [lab.stdout, lab.stderr]) stream.on('data', (chunk) => (text += chunk))
const missing = () => STORY.filter((part) => !text.includes(part))

const deadline = Date.now() + PATIENCE
while (missing().length > 0 && Date.now() < deadline && ended === undefined) await sleep(50)
const folder = /Everything of this lab is in (\S+)/.exec(text)?.[1]
// As Ctrl-C does in a terminal: to npm and all that it started.
if (ended === undefined) process.kill(-lab.pid, 'SIGINT')
while (ended === undefined) await sleep(50)
const problems = [
  ...missing().map((part) => `the story lacks "${part}"`),
  ...(ended === 0 ? [] : [`it ended with ${ended}`]),
  ...(folder !== undefined && existsSync(folder) ? [`${folder} is left`] : []),
]
if (problems.length > 0) {
  process.stderr.write(`${text}\n${problems.join('\n')}\n`)
  process.exitCode = 1
}
