import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { loadPolicy } from '@open-policy-agent/opa-wasm'
import { CordonError, messageOf } from '../../event/error.ts'
import type { AskOpinion } from '../../response/opinion.ts'
import { checkedOpinion } from './answer.ts'

/**
 * A policy that `opa build -t wasm -e cordon/decision` made, run in this process. Beside it, as `<file>.sha256`, stands the hash of the file
 * that was reviewed. Rego ends for every input, so no clock has to watch it.
 *
 * @throws CordonError `OPINION_FILE` where either cannot be read, they differ, or it is no such policy
 */
export async function regoFile(path: string): Promise<AskOpinion> {
  const bytes = read(path)
  const expected = /^[0-9a-f]{64}\b/.exec(read(`${path}.sha256`).toString('utf8'))?.[0]
  const found = createHash('sha256').update(bytes).digest('hex')
  if (found !== expected) {
    throw new CordonError('OPINION_FILE', `${path} has the hash ${found}, and ${path}.sha256 says ${expected ?? 'none'}`, {
      hint: 'if you have built and reviewed it: sha256sum FILE > FILE.sha256; if not, find out who changed it',
    })
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
      hint: 'a policy as code is a file.wasm with its file.wasm.sha256 beside it',
      cause,
    })
  }
}
