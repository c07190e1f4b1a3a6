import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LINE_LIMIT, LineSplitter, linesOf, readLines } from './lines.ts'

const cut = (bytes: Buffer, sizes: readonly number[]): Buffer[] => {
  const chunks: Buffer[] = []
  let at = 0
  for (const size of sizes) {
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return [...chunks, bytes.subarray(at)]
}

describe('lines', () => {
  it('are the same however the bytes are chunked, and stand where they say', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme' }).filter((text) => !/[\r\n\ufeff]/.test(text))),
        fc.array(fc.nat(7)),
        fc.boolean(),
        (texts, sizes, broken) => {
          const body = Buffer.from(texts.join('\n') + (broken && texts.length > 0 ? '\n' : ''))
          const splitter = new LineSplitter()
          const lines = cut(body, sizes).flatMap((chunk) => splitter.push(chunk))
          const last = splitter.end()
          if (last !== undefined) lines.push(last)
          expect(lines).toEqual([...linesOf(body)])
          const expected = broken || texts.at(-1) !== '' ? texts : texts.slice(0, -1)
          expect(lines.map((line) => line.text)).toEqual(expected)
          lines.forEach((line, index) => {
            expect(line.line).toBe(index + 1)
            const bytes = Buffer.from(line.text)
            expect(body.subarray(line.offset, line.offset + bytes.length).equals(bytes)).toBe(true)
          })
        },
      ),
    )
  })

  it('end with LF or CRLF, and a byte order mark at the start of the input is not part of them', () => {
    expect([...linesOf(Buffer.from('\ufeffa\r\nb\n'))].map((line) => line.text)).toEqual(['a', 'b'])
  })

  it('longer than the limit are said to be, with their beginning, and the next one is read as ever', () => {
    const long = Buffer.alloc(LINE_LIMIT + 5, 'x')
    const splitter = new LineSplitter()
    const lines = [...cut(long, [1000, LINE_LIMIT, 2]), Buffer.from('\n{}\n')].flatMap((chunk) => splitter.push(chunk))
    expect(lines[0]).toMatchObject({ line: 1, problem: { code: 'LINE_TOO_LONG' } })
    expect(lines[0]!.text.length).toBeLessThan(100_000)
    expect(lines[1]).toEqual({ line: 2, offset: LINE_LIMIT + 6, text: '{}' })
  })

  it('that are not UTF-8 keep their bytes, as Latin-1', () => {
    const [line] = linesOf(Buffer.from([0x7b, 0xff, 0x7d, 0x0a]))
    expect(line).toMatchObject({ text: '{\xff}', problem: { code: 'UTF8_INVALID' } })
  })

  it('come from streams of bytes or text', async () => {
    async function* input() {
      yield 'a\nb'
      yield new TextEncoder().encode('c\n')
    }
    const lines = await Array.fromAsync(readLines(input()))
    expect(lines.map((line) => line.text)).toEqual(['a', 'bc'])
  })
})
