import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

// At least two files at a time: by itself vitest leaves one processor idle, which is half of a small machine.
export default defineConfig({
  test: {
    maxWorkers: Math.max(2, availableParallelism() - 1),
    include: ['src/**/*.test.ts', 'lab/**/*.test.ts', 'test/{kits,property,conformance}/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
})
