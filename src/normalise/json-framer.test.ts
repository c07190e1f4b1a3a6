import { expect, test } from 'vitest'
import { jsonFramer, recordOf } from './json-framer.ts'

const lines = (text: string) => text.split('\n').map((line, at) => ({ text: line, line: at + 1, offset: at * 100 }))
const frame = (text: string) => {
  const framer = jsonFramer()
  return [...lines(text).flatMap((line) => framer.push(line, 0)), ...framer.flush()]
}

test('audit lines without a named source say what to do about it', () => {
  const audit = 'type=SYSCALL msg=audit(1790000000.123:901): arch=c000003e syscall=257 success=yes'
  for (const line of [audit, `node=ws-12 ${audit}`])
    expect(frame(line)).toMatchObject([{ code: 'JSON_INVALID', reason: expect.stringContaining('source: linux.auditd'), text: line }])
  expect(frame('type=SYSCALL')).toMatchObject([{ code: 'JSON_INVALID', reason: expect.stringContaining('not JSON') }])
})

test('an object, an array of objects and a pretty-printed document are records, at the line where they start', () => {
  expect(frame('{"a":1}\n[{"b":2},3]\n{\n  "c": 4\n}')).toEqual([
    { value: { a: 1 }, line: 1, offset: 0 },
    { value: { b: 2 }, line: 2, offset: 100 },
    { line: 2, offset: 101, code: 'JSON_NOT_OBJECT', reason: 'a record must be a JSON object', text: '3' },
    { value: { c: 4 }, line: 3, offset: 200 },
  ])
})

test('a stray bracket costs itself and nothing after it', () => {
  expect(frame('{\n{"a":1}')).toMatchObject([
    { code: 'JSON_INVALID', line: 1 },
    { value: { a: 1 }, line: 2 },
  ])
})

test('what is no object keeps the text that it came as', () => {
  expect(recordOf(1, 1, 0, '1.0')).toMatchObject({ code: 'JSON_NOT_OBJECT', text: '1.0' })
})

test('a record of too many fields is none, and says so', () => {
  const fields = (count: number) => JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, at) => [`f${at}`, at])))
  expect(frame(fields(20_000))).toMatchObject([{ value: { f0: 0 } }])
  expect(frame(fields(20_001))).toMatchObject([{ code: 'JSON_TOO_MANY', text: fields(20_001) }])
})
