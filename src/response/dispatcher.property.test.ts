import { afterEach, test } from 'vitest'
import { eachEffectOnce } from '../../test/kits/response-lives.ts'
import { closeSites } from './testbed.ts'

/** How many lives of a site are tried; RESPONSE_RUNS=2000 for a night. */
const RUNS = Number(process.env.RESPONSE_RUNS ?? 40)

afterEach(closeSites)

test.each([true, false])(
  'whatever fails or crashes: each effect once at the vendor, none lost (vendor honours keys: %s)',
  (honoursKeys) => eachEffectOnce({ honoursKeys, runs: RUNS }),
  120_000 + RUNS * 1_000,
)
