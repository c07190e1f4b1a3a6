// Installs what the lock file names, once: `npm start` and `npm test` call it first, so a fresh clone needs only Node ≥ 20 and npm.
// Plain JavaScript, because it runs on the host's Node before the pinned one is there.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const stamp = join(modules, '.cordon-lock')
// The lock does not cover the binary that the `node` package fetches in its install script, so its presence is part of "installed".
const node = join(modules, 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex')

const installed = () => existsSync(stamp) && existsSync(node) && readFileSync(stamp, 'utf8') === lock

if (!installed()) {
  const npm = process.env.npm_execpath
  process.stderr.write('cordon: installing dependencies (once per lock file) …\n')
  const [command, args] = npm ? [process.execPath, [npm, 'ci', '--silent']] : ['npm', ['ci', '--silent']]
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (result.status !== 0) {
    process.stderr.write('cordon: "npm ci" failed. Check the network or proxy settings of npm, then try again.\n')
    process.exit(result.status ?? 1)
  }
  if (!existsSync(node)) {
    process.stderr.write(
      `cordon: ${node} is missing: the install script of the package "node" did not run. See "allowScripts" in package.json.\n`,
    )
    process.exit(1)
  }
  writeFileSync(stamp, lock)
}
