// Nothing of the machine that this was made on may be in the project: absolute home or work paths, registry hosts; not in what was built, either.
import { execFileSync } from 'node:child_process'

const pattern = '(/work/|/root/|registry\\.npmjs|repo1?\\.maven|files\\.pythonhosted|proxy\\.golang|static\\.crates|deb\\.debian)'
try {
  const found = execFileSync('git', ['grep', '-naE', pattern, '--', ':!.ci/private.mjs'], { encoding: 'utf8' })
  process.stderr.write(found)
  process.exitCode = 1
} catch (error) {
  if (error.status !== 1) throw error
}
