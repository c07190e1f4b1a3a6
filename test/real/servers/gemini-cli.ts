import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './server.ts'

/** The version whose telemetry the guide describes. */
const PACKAGE = '@google/gemini-cli@0.61.0'

/** A real agent, installed for one run; nothing of it is a dependency. */
export interface GeminiCli {
  /** What node runs. */
  readonly script: string
  /** A home folder whose settings send all telemetry to a collector on loopback. */
  home(owner: number, collectorPort: number): string
  remove(): void
}

/** Installs the agent from npm into a folder of its own, in some seconds. @throws where npm cannot */
export async function installGeminiCli(): Promise<GeminiCli> {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-gemini-'))
  chmodSync(folder, 0o755)
  const options = ['--ignore-scripts', '--omit=optional', '--prefer-offline', '--no-audit', '--no-fund', '--fetch-retries=5']
  await run('npm', ['install', ...options, '--prefix', folder, PACKAGE], { timeout: 500_000 })
  return {
    script: join(folder, 'node_modules', '@google', 'gemini-cli', 'bundle', 'gemini.js'),
    home(owner, collectorPort) {
      const home = mkdtempSync(join(folder, 'home-'))
      const settings = {
        telemetry: {
          enabled: true,
          target: 'local',
          otlpEndpoint: `http://127.0.0.1:${collectorPort}`,
          otlpProtocol: 'http',
          logPrompts: true,
        },
        security: { auth: { selectedType: 'gemini-api-key' } },
        general: { disableAutoUpdate: true, enableAutoUpdate: false },
      }
      mkdirSync(join(home, '.gemini'))
      writeFileSync(join(home, '.gemini', 'settings.json'), JSON.stringify(settings))
      for (const path of [home, join(home, '.gemini'), join(home, '.gemini', 'settings.json')]) chownSync(path, owner, owner)
      return home
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** One turn of the scripted model: a tool call, or the words with which it ends. */
export type Turn = { readonly tool: string; readonly args: Readonly<Record<string, unknown>> } | { readonly says: string }

/**
 * The model that the agent talks to: it does the same every time, one turn of the script for each answer that the agent sends it.
 *
 * @param socket the path of a local socket, so that it can be reached from another network namespace
 */
export async function startScriptedModel(socket: string, script: readonly Turn[]): Promise<{ stop(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const stream = request.url?.includes('streamGenerateContent') === true
    const done = [...body.matchAll(/"functionResponse"/g)].length
    const turn = script[Math.min(done, script.length - 1)]!
    const part = 'tool' in turn ? { functionCall: { name: turn.tool, args: turn.args } } : { text: turn.says }
    const answer = {
      candidates: [{ content: { role: 'model', parts: [part] }, finishReason: 'STOP', index: 0 }],
      usageMetadata: { promptTokenCount: 100, candidatesTokenCount: 10, totalTokenCount: 110 },
      modelVersion: 'scripted',
    }
    response.setHeader('content-type', stream ? 'text/event-stream' : 'application/json')
    response.end(stream ? `data: ${JSON.stringify(answer)}\r\n\r\n` : JSON.stringify(answer))
  })
  await new Promise<void>((ready) => server.listen(socket, ready))
  chmodSync(socket, 0o666)
  return {
    async stop() {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}
