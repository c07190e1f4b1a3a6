import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { NORMALISERS, recognise } from '../../src/normalise/index.ts'
import { keyFieldProblems } from '../kits/key-fields.ts'
import { frame, isVendorRecord, lost } from '../kits/normaliser.ts'

/**
 * A folder of recorded events with a folder for each source, named as the source is:
 * CORDON_SAMPLES=DIR vitest run test/conformance/samples.test.ts
 */
const FOLDER = process.env.CORDON_SAMPLES

describe('recorded events of every source', () => {
  if (FOLDER === undefined) {
    it.skip('not run: CORDON_SAMPLES names no folder [folder]', () => {})
    return
  }
  const sources = NORMALISERS.filter(({ name }) => existsSync(join(FOLDER, name)))

  it('are of sources that Cordon reads', () => {
    expect(sources.length, `no folder under ${FOLDER} is named after a source`).toBeGreaterThan(0)
  })

  describe.each(sources)('$name', (normaliser) => {
    it.each(readdirSync(join(FOLDER, normaliser.name)))(
      '%s: every record is an event, keeps to the key fields and loses nothing',
      (file) => {
        const framed = frame(normaliser, readFileSync(join(FOLDER, normaliser.name, file)))
        expect(framed.length).toBeGreaterThan(0)
        for (const record of framed) {
          if (!isVendorRecord(record)) throw new Error(`line ${record.line}: ${record.code}: ${record.reason}`)
          const drafts = normaliser.normalise(record.value)
          expect({ line: record.line, events: drafts.length }).not.toMatchObject({ events: 0 })
          expect({ line: record.line, source: recognise(record.value).name }).toEqual({ line: record.line, source: normaliser.name })
          if (normaliser.name === 'ecs.passthrough' || normaliser.name === 'otlp') continue
          const problems = drafts.flatMap(keyFieldProblems)
          expect({ line: record.line, problems, lost: lost(record.value, drafts) }).toEqual({ line: record.line, problems: [], lost: [] })
        }
      },
    )
  })
})
