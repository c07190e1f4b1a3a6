import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'

/** Where files go that nobody needs afterwards: memory, where there is some to be had. */
export const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
