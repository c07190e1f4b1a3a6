import { defineConfig } from 'vitest/config'

// The engine as a process, killed and broken on purpose, and the simulator: minutes, not seconds, and one file at a time.
export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts', 'test/sim/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    fileParallelism: false,
    maxConcurrency: 2,
  },
})
