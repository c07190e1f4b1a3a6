#!/usr/bin/env node
// Takes the place of the OpenSSH client in unit tests: a plain connection to the stand-in of a host (host-stand-in.ts).
import { connect } from 'node:net'

const port = process.argv[process.argv.indexOf('-p') + 1]
const socket = connect(Number(port), process.argv.at(-1))
socket.on('error', (error) => {
  process.stderr.write(`ssh: ${error.message}\n`)
  process.exit(255)
})
socket.on('close', () => process.exit(255))
process.stdin.pipe(socket)
socket.pipe(process.stdout)
