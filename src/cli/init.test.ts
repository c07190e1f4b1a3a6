import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { Inventory } from '../context/inventory.ts'
import { configSchema, loadConfig } from '../engine/config.ts'
import { RESPONDERS } from '../responders/index.ts'
import { loadPolicy } from '../response/policy-file.ts'
import { main } from './main.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordon-init-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const io = { out: () => {}, err: () => {}, terminal: false, style: (_: string, text: string) => text }
const init = () => main(['node', 'cordon', 'init', join(folder, 'site')], io)
const written = (name: string) => readFileSync(join(folder, 'site', name), 'utf8')
/** The file with its examples switched on: a `#` in the first column, and the empty list that the examples fill. */
const switchedOn = (text: string) => text.replaceAll(/^(\w+): \[\]/gm, '$1:').replaceAll(/^#(?= {2})/gm, '')

test('what init writes loads, and says of each key what it is when it is left out', async () => {
  expect(await init()).toBe(0)
  const config = loadConfig(join(folder, 'site', 'cordon.yml'))
  expect(loadPolicy(config.policy).grants.length).toBeGreaterThan(0)
  expect(Inventory.parse(written('inventory.yml'), 'inventory.yml', 0).devices).toEqual([])
  expect(configSchema.parse(parse(written('cordon.yml')))).toEqual({ ...configSchema.parse({}), inventory: './inventory.yml' })
})

test('its examples work when they are switched on', async () => {
  await init()
  const { sources, responders } = configSchema.parse(parse(switchedOn(written('cordon.yml'))))
  expect(sources.map(({ type }) => type)).toEqual(['file', 'elasticsearch'])
  expect(responders.map(({ use }) => use).toSorted()).toEqual(RESPONDERS.map(({ name }) => name).toSorted())
  for (const { use, name: _, ...settings } of responders) {
    expect(RESPONDERS.find(({ name }) => name === use)?.config.safeParse(settings).error).toBeUndefined()
  }
  expect(Inventory.parse(switchedOn(written('inventory.yml')), 'inventory.yml', 0)).toMatchObject({
    devices: [{ id: 'laptop-7' }],
    users: [{ id: 'ana' }],
  })
})

test('it overwrites nothing', async () => {
  expect(await init()).toBe(0)
  writeFileSync(join(folder, 'site', 'cordon.yml'), 'mine')
  expect(await init()).toBe(3)
  expect(written('cordon.yml')).toBe('mine')
})
