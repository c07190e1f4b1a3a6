import { expect, test } from 'vitest'
import { type Claim, Claims, type Settled } from './claims.ts'

const claim = (start: number, end: number, ...values: string[]): Claim => ({
  start,
  end,
  elements: values.map((value) => ({ kind: 'email', value })),
})

/** Where something is taken out, and where everything is. */
function settled(most: number, ...passes: Claim[][]): (string | number | undefined)[] {
  const claims = new Claims(most)
  for (const pass of passes) claims.take(pass)
  const { claims: taken, rest }: Settled = claims.settled()
  return [...taken.map(({ start, end, elements }) => `${start}-${end} ${elements.map(({ value }) => value).join()}`), rest]
}

test.each<[string, ReturnType<typeof settled>, ReturnType<typeof settled>]>([
  ['as many as may be', settled(2, [claim(1, 3, 'a'), claim(5, 6, 'b')]), ['1-3 a', '5-6 b', undefined]],
  ['one more', settled(2, [claim(1, 3, 'a'), claim(5, 6, 'b'), claim(8, 9, 'c')]), ['1-3 a', '5-6 b', 8]],
  ['one more by another pass', settled(2, [claim(1, 3, 'a'), claim(8, 9, 'c')], [claim(5, 6, 'b')]), ['1-3 a', '5-6 b', 8]],
  ['more by a pass that was taken before', settled(1, [claim(8, 9, 'c')], [claim(1, 3, 'a'), claim(5, 6, 'b')]), ['1-3 a', 5]],
  [
    'a pass that is left does not hide what another has before',
    settled(1, [claim(5, 6, 'b'), claim(8, 9, 'c')], [claim(1, 3, 'a')]),
    ['1-3 a', 5],
  ],
  ['one that reaches beyond', settled(1, [claim(1, 20, 'key')], [claim(2, 3, 'a'), claim(5, 6, 'b')]), ['1-20 key', 5]],
  ['one with more in it than is left', settled(2, [claim(1, 3, 'a'), claim(5, 9, 'b', 'c'), claim(11, 12, 'd')]), ['1-3 a', '5-9 b', 9]],
  ['one with more in it than it says', settled(2, [{ ...claim(1, 3, 'a'), isPartial: true }, claim(5, 6, 'b')]), ['1-3 a', 3]],
  ['none', settled(0, [claim(5, 6, 'b')], [claim(1, 3, 'a')]), [1]],
])('%s', (_, is, shall) => {
  expect(is).toEqual(shall)
})

test('a pass is not read further than to where the rest begins', () => {
  let read = 0
  function* endless(): Generator<Claim> {
    for (;;) yield claim(10 * ++read, 10 * read + 1, String(read))
  }
  const claims = new Claims(3)
  claims.take(endless())
  expect(read).toBe(4)
  claims.take(endless())
  expect(read).toBe(5)
  expect(claims.settled().rest).toBe(40)
})
