import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const PROBE = 'probe.ts'
const LAB = '../../lab/x.ts'

/** The table of docs/reference/rooms.md: room → the rooms that it may import. */
function readTable(): ReadonlyMap<string, readonly string[]> {
  const rows = readFileSync(join(ROOT, 'docs/reference/rooms.md'), 'utf8').matchAll(/^\| ([a-z, ]+) \| ([a-z, ]+) \|$/gm)
  const written = [...rows].slice(1).map(([, rooms, may]) => [rooms!.split(', '), may!] as const)
  const all = written.flatMap(([rooms]) => rooms)
  const allowed = (may: string) => {
    if (may === 'nothing') return []
    return may === 'every room but cli' ? all.filter((room) => room !== 'cli') : may.split(', ')
  }
  return new Map(written.flatMap(([rooms, may]) => rooms.map((room) => [room, allowed(may)] as const)))
}

const table = readTable()
const rooms = [...table.keys()]
const importsOf = (room: string) => [...rooms.filter((other) => other !== room).map((other) => `../${other}/x.ts`), LAB, './x.ts', 'zod']
/** Folder of a probe → what it imports. */
const probes = new Map<string, readonly string[]>([
  ...rooms.map((room) => [room, importsOf(room)] as const),
  ['detectors/correlation', ['../../event/x.ts', '../../sigma/x.ts', '../alert.ts', '../match/x.ts', '../../response/x.ts']],
  ['stores/elasticsearch', ['../../event/x.ts', '../ledger.ts', '../../response/x.ts', '../../engine/x.ts', '../../sources/x.ts']],
  ['normalise/zeek', ['../../event/x.ts', '../record.ts', '../../engine/x.ts', '../../context/x.ts']],
  ['streams/kafka', ['../../event/x.ts', '../log.ts', '../../engine/x.ts', '../../detectors/x.ts']],
  ['detectors/match/regex', ['../../../event/x.ts', '../text.ts', '../../alert.ts', '../../../engine/x.ts', '../../../stores/x.ts']],
])
let folder: string
let found: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-rooms-'))
  copyFileSync(join(ROOT, 'biome.json'), join(folder, 'biome.json'))
  for (const [room, imports] of probes) {
    mkdirSync(join(folder, 'src', room), { recursive: true })
    writeFileSync(join(folder, 'src', room, PROBE), imports.map((path) => `import '${path}'\n`).join(''))
  }
  const args = ['lint', '--colors=off', '--vcs-enabled=false', '--max-diagnostics=none', '--only=style/noRestrictedImports', '.']
  const { stdout, stderr } = spawnSync(join(ROOT, 'node_modules/.bin/biome'), args, { cwd: folder, encoding: 'utf8' })
  found = stdout + stderr
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Which of its imports the linter refused to the probe of a folder. */
function refused(room: string): readonly string[] {
  const lines = found.matchAll(/src\/([\w/]+)\/probe\.ts:(\d+):\d+ lint\/style\/noRestrictedImports/g)
  const own = [...lines].filter(([, where]) => where === room)
  return own.map(([, , line]) => probes.get(room)![Number(line) - 1]!).sort()
}

test.each(rooms)('the linter lets %s import what the table allows, and refuses the rest', (room) => {
  const others = rooms.filter((other) => other !== room && !table.get(room)!.includes(other)).map((other) => `../${other}/x.ts`)
  expect(refused(room)).toEqual([...others, LAB].sort())
})

test('the folders within a room are of that room', () => {
  expect(refused('normalise/zeek')).toEqual(['../../context/x.ts', '../../engine/x.ts'])
  expect(refused('stores/elasticsearch')).toEqual(['../../engine/x.ts', '../../sources/x.ts'])
  expect(refused('streams/kafka')).toEqual(['../../detectors/x.ts', '../../engine/x.ts'])
  expect(refused('detectors/correlation')).toEqual(['../../response/x.ts'])
  expect(refused('detectors/match/regex')).toEqual(['../../../engine/x.ts', '../../../stores/x.ts'])
})

test('what responders take of sigma and detectors are types', () => {
  const files = readdirSync(join(ROOT, 'src/responders')).filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
  const texts = files.map((file) => readFileSync(join(ROOT, 'src/responders', file), 'utf8'))
  const imports = texts.flatMap((text) => text.match(/^import .*'\.\.\/(?:sigma|detectors)\/.*$/gm) ?? [])
  expect(imports.length).toBeGreaterThan(0)
  expect(imports.filter((line) => !line.startsWith('import type '))).toEqual([])
})

test('the table and src/README.md name the rooms that there are', () => {
  const entries = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const page = readFileSync(join(ROOT, 'src/README.md'), 'utf8')
  const listed = [...page.matchAll(/^\| \[(\w+)\]\(\1\) \|/gm)].map(([, room]) => room!)
  expect(rooms.toSorted()).toEqual(entries.map(({ name }) => name).toSorted())
  expect(listed.toSorted()).toEqual(rooms.toSorted())
})
