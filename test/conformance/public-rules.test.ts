import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { replayFile } from '../../src/engine/offline/replay.ts'
import { loadRules } from '../../src/engine/rules/rules.ts'
import { isObject, parseForeignObject } from '../../src/event/json.ts'

/**
 * A folder with `regression.jsonl`, lines of `{rule_id, events}` (SigmaHQ's regression data), and beside it, unpacked, folders of that
 * project's rules: CORDON_PUBLIC_RULES=DIR vitest run test/conformance/public-rules.test.ts
 */
const FOLDER = process.env.CORDON_PUBLIC_RULES

/** What does not fire, and the feature that it waits for, by the rule's id. */
const WAITING: Readonly<Record<string, string>> = {}

describe('public rules on the events that each must fire on', () => {
  if (FOLDER === undefined) {
    it.skip('not run: CORDON_PUBLIC_RULES names no folder [folder]', () => {})
    return
  }

  it('fires every rule that has events', { timeout: 300_000 }, async () => {
    const file = join(FOLDER, 'regression.jsonl')
    expect(existsSync(file), file).toBe(true)
    const folders = readdirSync(FOLDER, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    const rules = loadRules(folders.map(({ name }) => join(FOLDER, name)))
    const { alerts } = await replayFile(file, rules, {
      source: 'windows.eventlog',
      anyLogsource: false,
      factless: true,
      onBadRecord: () => {},
      whyNot: [],
      onWhyNot: () => {},
      onProgress: () => {},
    })
    const fired = new Set(alerts.flatMap(({ rule, evidence }) => evidence.map(({ line }) => `${line} ${rule.id}`)))
    const expected = readFileSync(file, 'utf8')
      .split('\n')
      .filter((text) => text !== '')
      .map((text, at) => ({ line: at + 1, record: parseForeignObject(text) }))
      // A line may name a rule without an event to fire it on.
      .filter(({ record }) => Array.isArray(record.events) && record.events.some(isObject))
    expect(expected.length).toBeGreaterThan(0)
    const silent = expected
      .filter(({ line, record }) => !fired.has(`${line} ${record.rule_id}`))
      .map(({ record }) => String(record.rule_id))
    expect(silent.sort()).toEqual(Object.keys(WAITING).sort())
  })
})
