import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { CordonError } from '../event/error.ts'
import { RESPONDERS } from '../responders/index.ts'
import { secretRef } from '../responders/secret.ts'
import { configSchema, loadConfig } from './config.ts'

const PAGE = readFileSync(new URL('../../docs/reference/configuration.md', import.meta.url), 'utf8')

/** The keys of a schema with their paths, as the page writes them: `listen.api.port`, `sources[].path`. */
function keysOf(schema: unknown, path = ''): readonly string[] {
  // A secret is one key, however it is referred to. Where it is described it is another schema with the same options.
  if (schema instanceof z.ZodUnion && schema.options[0] === secretRef.options[0]) return [path]
  if (schema instanceof z.ZodUnion) return [...new Set(schema.options.flatMap((option) => keysOf(option, path)))]
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return keysOf(schema.unwrap(), path)
  if (schema instanceof z.ZodObject)
    return Object.entries(schema.shape).flatMap(([key, inner]) => keysOf(inner, path === '' ? key : `${path}.${key}`))
  if (schema instanceof z.ZodPipe) return keysOf(schema.in, path)
  const item = schema instanceof z.ZodArray ? schema.element : undefined
  if (!(item instanceof z.ZodObject || item instanceof z.ZodUnion)) return [path]
  // An item may also be plain text.
  return [path, ...keysOf(item, `${path}[]`).filter((key) => key !== `${path}[]`)]
}

/** What keys need besides, where they need something: the first whose keys these are. */
const WHOLE: readonly (readonly [keys: RegExp, config: Record<string, unknown>])[] = [
  [/^rules\[\]/, { rules: [{ atr: 'package' }] }],
  [/^sources\[\]\.(?:type|path|source|device|from)$/, { sources: [{ type: 'file', path: 'x' }] }],
  [/^sources\[\]/, { sources: [{ type: 'elasticsearch', urls: ['http://a:1'], index: 'logs' }] }],
  [
    /^streams\.(?!kind|partitions)/,
    { streams: { kind: 'kafka', brokers: ['a:1'], sasl: { mechanism: 'plain', username: 'u', password: { env: 'P' } } } },
  ],
  [/^privacy\.patterns\[\]/, { privacy: { patterns: [{ kind: 'staff', class: 'pii', pattern: 'x' }] } }],
  [/^store\.(?!kind)/, { store: { kind: 'elasticsearch', urls: ['http://a:1'] } }],
]

/** A configuration with a value at a key, or without one, and with what the entry needs besides. */
function written(key: string, value: unknown): Record<string, unknown> {
  const path = key.replace('[]', '.0').split('.')
  const config = structuredClone(WHOLE.find(([keys]) => keys.test(key))?.[1] ?? {})
  let at = config
  for (const name of path.slice(0, -1)) {
    at[name] ??= {}
    at = at[name] as Record<string, unknown>
  }
  if (value === undefined) delete at[path.at(-1)!]
  else at[path.at(-1)!] = value
  return config
}

describe('the page of the configuration', () => {
  const rows = [...PAGE.matchAll(/^\| `([^`]+)` \| ([^|]+) \|/gm)].map(([, key, fallback]) => [key!, fallback!.trim()] as const)
  const listed = rows.slice(
    0,
    rows.findIndex(([key]) => key === 'use'),
  )

  test('has every key, and no other', () => {
    const keys = keysOf(configSchema).filter((key) => !key.startsWith('responders[]'))
    expect(listed.map(([key]) => key).toSorted()).toEqual(keys.toSorted())
  })

  test.each(listed.filter(([, fallback]) => fallback.startsWith('`')))('%s is %s where it is left out', (key, fallback) => {
    const value: unknown = parse(fallback.replaceAll('`', ''))
    expect(configSchema.parse(written(key, value))).toEqual(configSchema.parse(written(key, undefined)))
  })

  test.each(listed.filter(([, fallback]) => fallback === 'needed'))('%s is %s', (key) => {
    expect(configSchema.safeParse(written(key, undefined)).success).toBe(false)
  })

  test.each(['card', 'rest'])('a pattern is not called %s, as a marker of Cordon is', (kind) => {
    expect(configSchema.safeParse(written('privacy.patterns[].kind', kind)).success).toBe(false)
    expect(configSchema.safeParse(written('privacy.patterns[].kind', `${kind}_of_ours`)).success).toBe(true)
  })

  test.each(RESPONDERS.map((responder) => [responder.name, responder] as const))('has the settings of %s', (name, { config }) => {
    const line = new RegExp(`^- \\[${name}\\]\\([^)]+\\): (.*)$`, 'm').exec(PAGE)?.[1] ?? ''
    const isOwn = (key: string) => !['url', 'allow_private'].includes(key)
    const told = line.split(', ').map((key) => key.replaceAll('`', ''))
    expect(told.filter(isOwn).toSorted()).toEqual(keysOf(config).filter(isOwn).toSorted())
  })
})

describe('a configuration', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cordon-config-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const load = (text: string) => {
    writeFileSync(join(folder, 'cordon.yml'), text)
    return loadConfig(join(folder, 'cordon.yml'))
  }

  test('names Agent Threat Rules by their package or a folder, the stable ones unless it says otherwise', () => {
    expect(load('{rules: [{atr: package}, {atr: mine, status: [draft]}]}').rules).toEqual([
      { path: expect.stringMatching(/agent-threat-rules[\\/]rules$/), status: ['stable'] },
      { path: join(folder, 'mine'), status: ['draft'] },
    ])
  })

  test('has its paths from its own folder', () => {
    const config = load('{data: d, inventory: ../i.yml, policy: builtin, rules: [builtin, r], sources: [{type: file, path: log}]}')
    expect(config).toMatchObject({
      data: join(folder, 'd'),
      inventory: join(folder, '../i.yml'),
      policy: expect.stringMatching(/policy$/),
      rules: [expect.stringMatching(/rules$/), join(folder, 'r')],
      sources: [{ path: join(folder, 'log') }],
    })
  })

  test('has the secrets and certificates of Kafka from there too', () => {
    const config = load(
      'streams: {kind: kafka, brokers: [a:1], tls: {ca: ca.pem}, sasl: {mechanism: plain, username: u, password: {file: secret}}}',
    )
    expect(config.streams).toMatchObject({ tls: { ca: join(folder, 'ca.pem') }, sasl: { password: { file: join(folder, 'secret') } } })
  })

  test('has those of Elasticsearch from there too', () => {
    const config = load(
      'store: {kind: elasticsearch, urls: ["https://a:1"], tls: {ca: ca.pem}, auth: {username: u, password: {file: secret}}}',
    )
    expect(config.store).toMatchObject({ tls: { ca: join(folder, 'ca.pem') }, auth: { password: { file: join(folder, 'secret') } } })
  })

  test('is refused with the place of its mistake and a hint', () => {
    const problemOf = (text: string) => {
      try {
        load(text)
      } catch (error) {
        return error as CordonError
      }
      return undefined
    }
    expect(problemOf('node: a\nlisten:\n  ingst: {}\n')).toMatchObject({
      code: 'CONFIG_INVALID',
      where: { line: 3 },
      hint: expect.stringContaining('configuration.md'),
    })
    expect(problemOf('streams:\n  kind: kafak\n')).toMatchObject({
      message: expect.stringContaining('embedded or kafka'),
      where: { line: 2 },
    })
    const index = '{type: elasticsearch, urls: ["http://a:1"], index: logs}'
    expect(problemOf(`sources: [${index}, ${index}]`)).toMatchObject({ message: expect.stringContaining('a name each') })
    expect(problemOf('retention: {indices: {at: daily}}')).toMatchObject({ message: expect.stringContaining('cron expression') })
    expect(problemOf('node: [')).toMatchObject({ code: 'CONFIG_YAML' })
    expect(() => loadConfig(join(folder, 'none.yml'))).toThrow(expect.objectContaining({ code: 'CONFIG_NOT_FOUND' }))
    expect(() => loadConfig(join(folder, 'none.yml'))).toThrow(CordonError)
  })
})
