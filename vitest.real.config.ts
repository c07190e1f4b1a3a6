import { defineConfig } from 'vitest/config'

/** Take the kernel's audit switch, or network namespaces: one at a time. */
const KERNEL = ['test/e2e/**/*.test.ts', 'test/real/{host,egress}.test.ts']

// Real servers. Most of a test of theirs is waiting, so there are two at a time on any machine.
export default defineConfig({
  test: {
    testTimeout: 180_000,
    hookTimeout: 600_000,
    projects: [
      {
        extends: true,
        test: { name: 'servers', include: ['test/real/**/*.test.ts'], exclude: KERNEL, maxWorkers: 2, sequence: { groupOrder: 0 } },
      },
      { extends: true, test: { name: 'kernel', include: KERNEL, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
})
