import { describe, expect, it, test } from 'vitest'
import { carriedLabel, isStricter, Labels } from './labels.ts'

describe('a label file', () => {
  it('classifies a path by the first pattern that fits', () => {
    const labels = Labels.parse(
      'labels:\n  - {path: /srv/public/*, classification: Public}\n  - {path: /srv/*, classification: P1}\n',
      'labels.yml',
      5,
    )
    expect(['/srv/public/a', '/srv/a/b', '/tmp/a'].map((path) => labels.classify(path))).toEqual(['Public', 'P1', undefined])
    expect([labels.source, labels.observed]).toEqual(['labels.yml', 5])
    expect(Labels.parse('', 'labels.yml', 0).classify('/srv/a')).toBeUndefined()
  })

  it.each([
    ['labels:\n  - {path: /srv/*}\n', 'LABELS_INVALID', 2],
    ['label: []\n', 'LABELS_INVALID', 1],
    ['labels: [\n', 'LABELS_YAML', 2],
  ])('%j is refused with its place', (text, code, line) => {
    expect(() => Labels.parse(text, 'labels.yml', 0)).toThrow(
      expect.objectContaining({ code, where: expect.objectContaining({ file: 'labels.yml', line }), hint: expect.any(String) }),
    )
  })
})

test.each([
  ['Restricted', 'confidential', true],
  ['P0', 'Confidential', true],
  ['P1', 'Internal', true],
  ['Public', 'P2', false],
  ['Confidential', 'P1', false],
  ['Our Own', 'Public', false],
  ['constructor', 'toString', false],
])('%s stricter than %s: %s', (one, other, stricter) => {
  expect(isStricter(one, other)).toBe(stricter)
})

test('a label is found where sources carry it', () => {
  const draft = (ecs: object, native?: object) => ({ time: 0, logsource: [], ecs, ...(native && { native }) }) as never
  expect(carriedLabel(draft({ file: { classification: 'Internal' } }))).toBe('Internal')
  expect(carriedLabel(draft({}, { category: 'AdvancedHunting-DeviceFileEvents', properties: { SensitivityLabel: 'General' } }))).toBe(
    'General',
  )
  expect(carriedLabel(draft({ m365_defender: { event: { sensitivity: { label: 'Confidential' } } } }))).toBe('Confidential')
  expect(carriedLabel(draft({ file: { classification: ['x'] } }, { SensitivityLabel: '' }))).toBeUndefined()
})
