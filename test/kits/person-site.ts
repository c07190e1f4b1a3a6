import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const RULE = `
title: Logon
id: 6c1d9a34-0000-4000-8000-000000000001
status: test
level: high
logsource: { product: x }
detection: { selection: { event.action: logon }, condition: selection }
x-cordon: { entities: { user: user.name } }
`

/**
 * Writes the files of a site with one known person, anaquita, whose logon is an alert.
 *
 * @param more of its configuration
 * @returns the path of its cordon.yml
 */
export function writePersonSite(folder: string, more: object = {}): string {
  for (const name of ['rules', 'policy']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'rules', 'logon.yml'), RULE)
  writeFileSync(join(folder, 'inventory.yml'), '{users: [{id: anaquita, email: anaquita@corp.example, name: Ana Quita}]}')
  const listen = { ingest: { port: 0 }, api: { port: 0 } }
  const path = join(folder, 'cordon.yml')
  writeFileSync(path, JSON.stringify({ listen, rules: ['./rules'], inventory: './inventory.yml', ...more }))
  return path
}
