// The slowest files of a vitest JSON report, in seconds: where to look first when a stage is over its budget. What is done before the
// first test of a file, such as starting a server, is not in it.
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'

const SHOWN = 8
const { testResults } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const files = testResults.map(({ name, startTime, endTime }) => ({ name: relative('', name), seconds: (endTime - startTime) / 1_000 }))
for (const { name, seconds } of files.sort((a, b) => b.seconds - a.seconds).slice(0, SHOWN))
  console.log(`${seconds.toFixed(0).padStart(6)} s  ${name}`)
