import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Take the kernel's audit switch, or network namespaces: one at a time. */
const KERNEL = ['test/e2e/**/*.test.ts', 'test/real/{host,egress}.test.ts']

/** Takes minutes, and its file is the smallest: by size it would come last, and have the machine to itself. */
const LONGEST = 'kafka-proof.test.ts'

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLongest = ({ moduleId }: TestSpecification) => moduleId.endsWith(LONGEST)
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))]
  }
}

// Real servers. Most of a test of theirs is waiting, so there are two at a time on any machine.
export default defineConfig({
  test: {
    testTimeout: 180_000,
    hookTimeout: 600_000,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: { name: 'servers', include: ['test/real/**/*.test.ts'], exclude: KERNEL, maxWorkers: 2, sequence: { groupOrder: 0 } },
      },
      { extends: true, test: { name: 'kernel', include: KERNEL, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
})
