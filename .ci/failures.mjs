// The failed tests of a vitest JSON report, each with the beginning of what it failed by, and the files that never came to a test.
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'

const LINES = 15
const told = (text) =>
  text
    .split('\n')
    .slice(0, LINES)
    .map((line) => `        ${line}`)
    .join('\n')
const { testResults } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
for (const { name, status, message, assertionResults } of testResults) {
  const failed = assertionResults.filter((test) => test.status === 'failed')
  for (const { fullName, failureMessages } of failed)
    console.log(`   FAILED: ${relative('', name)}: ${fullName}\n${failureMessages.map(told).join('\n')}`)
  if (status === 'failed' && failed.length === 0) console.log(`   FAILED: ${relative('', name)}\n${told(message)}`)
}
