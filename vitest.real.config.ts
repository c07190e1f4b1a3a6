import { defineConfig } from 'vitest/config'

// Real servers: one file at a time, because they share ports, the kernel's audit switch and two cores.
export default defineConfig({
  test: {
    include: ['test/real/**/*.test.ts', 'test/e2e/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 600_000,
    fileParallelism: false,
  },
})
