// Parses and lints Dockerfile and docker-compose.yml; there is no container engine where this runs, so nothing is built.
import { existsSync, readFileSync } from 'node:fs'
import { parseDocument } from 'yaml'
import { loadConfig } from '../src/engine/config.ts'
import { ROLES, rolesOf } from '../src/engine/roles.ts'

const problems = []
const check = (ok, problem) => ok || problems.push(problem)

const compose = parseDocument(readFileSync('docker-compose.yml', 'utf8'), { uniqueKeys: true, merge: true })
for (const error of compose.errors) problems.push(`docker-compose.yml: ${error.message}`)
const { services = {}, volumes = {} } = compose.toJS() ?? {}
const cluster = loadConfig('examples/cluster/cordon.yml')
const members = new Map()
for (const [name, service] of Object.entries(services)) {
  check(service.image || service.build, `docker-compose.yml: service ${name} has neither image nor build`)
  for (const port of service.ports ?? [])
    check(/^127\.0\.0\.1:/.test(port), `docker-compose.yml: ${name} publishes ${port} beyond loopback`)
  for (const volume of service.volumes ?? []) {
    const [source] = volume.split(':')
    check(source.startsWith('.') || source in volumes, `docker-compose.yml: ${name} mounts the unknown volume ${source}`)
    check(!source.startsWith('./examples') || existsSync(source), `docker-compose.yml: ${name} mounts ${source}, which does not exist`)
  }
  for (const needed of Object.keys(Array.isArray(service.depends_on) ? {} : (service.depends_on ?? {})))
    check(needed in services, `docker-compose.yml: ${name} depends on the unknown service ${needed}`)
  const role = service.command?.[service.command.indexOf('--role') + 1]
  if (!service.command?.includes('--role')) continue
  check(service.hostname === name, `docker-compose.yml: ${name} has another member's name`)
  for (const each of rolesOf(role, cluster)) members.set(each, (members.get(each) ?? 0) + 1)
}
for (const role of ROLES) check(members.get(role) === 2, `docker-compose.yml: ${members.get(role) ?? 0} members have the role ${role}`)

const instructions = readFileSync('Dockerfile', 'utf8')
  .replaceAll('\\\n', ' ')
  .split('\n')
  .map((line) => line.trim())
  .filter((line) => line && !line.startsWith('#'))
const KNOWN = new Set([
  'FROM',
  'ARG',
  'ENV',
  'WORKDIR',
  'COPY',
  'RUN',
  'USER',
  'VOLUME',
  'EXPOSE',
  'HEALTHCHECK',
  'ENTRYPOINT',
  'CMD',
  'LABEL',
])
check(instructions[0]?.startsWith('FROM ') || instructions[0]?.startsWith('ARG '), 'Dockerfile: the first instruction is not FROM')
for (const line of instructions) {
  const [word, ...rest] = line.split(/\s+/)
  check(KNOWN.has(word), `Dockerfile: unknown instruction ${word}`)
  if (word === 'FROM') check(/:[\w.-]+$/.test(rest[0]), `Dockerfile: ${rest[0]} has no tag`)
  if (['ENTRYPOINT', 'CMD'].includes(word)) check(Array.isArray(tryJson(rest.join(' '))), `Dockerfile: ${word} is not in exec form`)
  if (word === 'COPY' && !rest[0].startsWith('--'))
    for (const source of rest.slice(0, -1)) check(existsSync(source), `Dockerfile: COPY names ${source}, which does not exist`)
}
check(instructions.findLast((line) => line.startsWith('USER '))?.split(/\s+/)[1] !== 'root', 'Dockerfile: the last USER is root')

for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0

function tryJson(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
