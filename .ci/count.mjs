// Prints "passed failed" of a vitest JSON report. Under CI a skipped test counts as failed, unless its title says what no install can
// mend: the kernel or root is missing, somebody else than root is needed, a folder that the project does not have, or the full form.
import { readFileSync } from 'node:fs'

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const tests = report.testResults.flatMap((file) => file.assertionResults)
const excused = (test) => /\[(kernel|root|not root|folder|full)\]/.test(test.fullName)
const passed = tests.filter((test) => test.status === 'passed').length
const skipped = tests.filter((test) => test.status !== 'passed' && test.status !== 'failed')
for (const test of skipped) console.error(`skipped${excused(test) ? '' : ' (counts as failed)'}: ${test.fullName}`)
const broken = report.testResults.filter(
  (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
).length
const failed = tests.filter((test) => test.status === 'failed').length + skipped.filter((test) => !excused(test)).length + broken
console.log(passed, failed)
