#!/usr/bin/env node
// Entry point of the command line. Plain JavaScript: it must start on any Node ≥ 20 and as an installed dependency,
// where type stripping is refused. It runs dist/ if built, else src/, on Node ≥ 24.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const built = join(root, 'dist', 'cli', 'main.js')
const main = existsSync(built) ? built : join(root, 'src', 'cli', 'main.ts')

if (Number(process.versions.node.split('.')[0]) >= 24) {
  const { main: run } = await import(pathToFileURL(main).href)
  process.exitCode = await run(process.argv)
} else {
  const node = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  if (!existsSync(node)) {
    process.stderr.write(`cordon: needs Node 24 or newer (this is ${process.version}), or its own copy: run "npm ci" in ${root}\n`)
    process.exit(3)
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
}
