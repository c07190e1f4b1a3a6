import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { loadPolicy } from '@open-policy-agent/opa-wasm'
import { CordonError, messageOf } from '../../event/error.ts'
import type { AskOpinion } from '../../response/opinion.ts'
import { checkedOpinion } from './answer.ts'

/**
 * A policy that `opa build -t wasm -e cordon/decision` made, run in this process. Beside it, as `<file>.sha256`, stands the hash of the file
 * that was reviewed, and after it those of the sources that it was built from, where they are to be held to. Rego ends for every input, so no
 * clock has to watch it.
 *
 * @throws CordonError `OPINION_FILE` where either cannot be read, they differ, or it is no such policy
 */
export async function regoFile(path: string): Promise<AskOpinion> {
  const bytes = read(path)
  const [own, ...sources] = read(`${path}.sha256`)
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
  const hold = (file: string, content: Buffer, expected = 'none') => {
    const found = createHash('sha256').update(content).digest('hex')
    if (found === expected) return
    throw new CordonError('OPINION_FILE', `${file} has the hash ${found}, and ${path}.sha256 says ${expected}`, {
      hint: 'if you have built and reviewed it: sha256sum policy.wasm policy.rego > policy.wasm.sha256; if not, find out who changed it',
    })
  }
  hold(path, bytes, /^[0-9a-f]{64}\b/.exec(own ?? '')?.[0])
  for (const line of sources) {
    const { hash, name } = /^(?<hash>[0-9a-f]{64}) [ *](?<name>.+)$/.exec(line)?.groups ?? {}
    const source = join(dirname(path), name ?? '')
    if (hash === undefined) throw new CordonError('OPINION_FILE', `${path}.sha256 has a line that is no hash: ${line}`)
    hold(source, read(source), hash)
  }
  const policy = await compile(path, bytes)
  return async (input) => {
    const [first] = policy.evaluate(input) as readonly { readonly result?: unknown }[]
    return checkedOpinion(first?.result)
  }
}

async function compile(path: string, bytes: Buffer<ArrayBuffer>) {
  try {
    return await loadPolicy(bytes)
  } catch (cause) {
    throw new CordonError('OPINION_FILE', `${path} is no compiled policy: ${messageOf(cause)}`, {
      hint: 'build it with: opa build -t wasm -e cordon/decision policy.rego',
      cause,
    })
  }
}

function read(path: string): Buffer<ArrayBuffer> {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new CordonError('OPINION_FILE', `cannot read ${path}: ${messageOf(cause)}`, {
      hint: 'a policy as code is a file.wasm with, beside it, its file.wasm.sha256 and the sources that this names',
      cause,
    })
  }
}
