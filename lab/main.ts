import { formatError } from '../src/cli/io.ts'
import { main } from '../src/cli/main.ts'
import { stopSignal, whenAborted } from '../src/engine/stop-signal.ts'
import { shortId } from '../src/incidents/incident.ts'
import { explain } from './own-events.ts'
import { openSite } from './site.ts'
import { Narrator, tellStory } from './story.ts'
import { say, style } from './terminal.ts'

// `npm start -- --config cordon.yml` is the real thing: nothing of the lab is started.
const args = process.argv.slice(2)
if (args.length > 0) process.exitCode = await main(['node', 'cordon', 'run', ...args])
else process.exitCode = await lab()

/** The demonstration: starts the site, tells the story, serves until it is told to stop. */
async function lab(): Promise<0 | 3> {
  const unread = new Promise((resolve) => process.stdout.on('error', resolve)) // npm start | head
  const stopped = Promise.race([whenAborted(stopSignal()), unread])
  const narrator = new Narrator()
  try {
    const site = await openSite(narrator)
    try {
      const { engine, taken } = site
      say(`${style(['bold', 'inverse'], ' CORDON LAB ')}  The engine is real. The MDM, token and paging servers are small stand-ins,`)
      say('              and the agent session is a recording of a real one (lab/session/README.md).')
      for (const port of taken) say(style('yellow', `              Port ${port} is taken: the lab uses another.`))
      say(style('dim', `              events in ${engine.ingestUrl} · API ${engine.apiUrl} · log ${site.logFile}`))
      say()
      say("  Gemini CLI on Ana's laptop is asked to answer a support ticket.")
      say('  A comment hidden in the ticket tells it to send out the payroll.')
      say()
      const story = tellStory(site, narrator).then((quarantine) => explain(site, quarantine && shortId(quarantine.id)))
      await Promise.race([story, stopped])
      await stopped
      say()
    } finally {
      await site.stop()
    }
    say('stopped; its data is removed')
    return 0
  } catch (error) {
    process.stderr.write(`${formatError(error).join('\n')}\n`)
    return 3
  }
}
