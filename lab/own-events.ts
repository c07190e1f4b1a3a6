import type { Site } from './site.ts'
import { say, style } from './terminal.ts'

/** A command that works as it is printed: one event, which one of the shipped rules fires on. */
export function curlLine({ engine, keys }: Site): string {
  const event = {
    'gen_ai.agent.name': 'claude',
    'host.name': 'ws-12',
    'event.category': 'file',
    'event.type': 'access',
    'event.outcome': 'success',
    'process.executable': '/usr/bin/cat',
    'file.path': '/home/ana/.aws/credentials',
  }
  return `curl -sS ${engine.ingestUrl}/v1/events -H 'Authorization: Bearer ${keys.ingest}' -d '${JSON.stringify(event)}'`
}

/** How to send one's own events, and how to look at what came of them. */
export function explain(site: Site, quarantine: string | undefined): void {
  const { engine, keys, configFile } = site
  const cordon = (words: string) => `  node bin/cordon.mjs ${words} --config ${configFile}`
  const title = (text: string) => say(style('bold', text))
  say()
  title('It keeps serving. Look around, in another terminal in this folder:')
  say(cordon('incidents list'))
  say(cordon('alerts list'))
  say(cordon('actions list'))
  if (quarantine !== undefined) say(cordon(`actions undo ${quarantine} --reason "false alarm"`))
  say(`  curl -sS ${engine.apiUrl}/metrics -H 'Authorization: Bearer ${keys.api}'`)
  say()
  title('Send an event of your own; an alert shows here:')
  say(`  ${curlLine(site)}`)
  say()
  title('Point your own agent here. Claude Code:')
  for (const line of [
    'CLAUDE_CODE_ENABLE_TELEMETRY=1',
    'OTEL_LOGS_EXPORTER=otlp',
    'OTEL_EXPORTER_OTLP_PROTOCOL=http/json',
    `OTEL_EXPORTER_OTLP_ENDPOINT=${engine.ingestUrl}`,
    `OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer ${keys.ingest}"`,
    'OTEL_LOG_TOOL_DETAILS=1',
    'OTEL_RESOURCE_ATTRIBUTES=host.name=$(hostname)',
  ])
    say(`  export ${line}`)
  title('Gemini CLI:')
  for (const line of [
    'GEMINI_TELEMETRY_ENABLED=true',
    'GEMINI_TELEMETRY_TARGET=local',
    'GEMINI_TELEMETRY_OTLP_PROTOCOL=http',
    `GEMINI_TELEMETRY_OTLP_ENDPOINT=${engine.ingestUrl}`,
    `OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer ${keys.ingest}"`,
  ])
    say(`  export ${line}`)
  title('Codex, in ~/.codex/config.toml:')
  for (const line of [
    '[otel.exporter."otlp-http"]',
    `endpoint = "${engine.ingestUrl}/v1/logs"`,
    'protocol = "json"',
    '[otel.exporter."otlp-http".headers]',
    `Authorization = "Bearer ${keys.ingest}"`,
  ])
    say(`  ${line}`)
  say()
  say('Their telemetry alone fires "Agent reads a credential file" and "Agent permission prompts switched off". What you just saw needs')
  say('connections too: on Linux two kernel audit rules, and a third for tools that run in subshells (docs/guides/kernel-audit.md).')
  say('Step by step: docs/guides/your-own-agent.md. The real thing: node bin/cordon.mjs init my-site')
  say()
  say(style('dim', `Everything of this lab is in ${site.folder} until it stops. Ctrl-C stops it.`))
}
