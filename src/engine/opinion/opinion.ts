import { rememberAddress } from '../../event/secrets.ts'
import { accessOf } from '../../responders/endpoint.ts'
import { createHttpClient } from '../../responders/http.ts'
import { readSecret } from '../../responders/secret.ts'
import type { AskOpinion } from '../../response/opinion.ts'
import type { Config } from '../config.ts'
import { opaServer } from './opa-server.ts'
import { regoFile } from './rego-file.ts'

/** The policy as code that is configured, if one is. @throws CordonError `OPINION_FILE`, `SECRET_MISSING` */
export async function opinionOf({ policy_as_code: policy }: Pick<Config, 'policy_as_code'>): Promise<AskOpinion | undefined> {
  if (policy === undefined) return undefined
  if ('wasm' in policy) return regoFile(policy.wasm)
  const { opa: url, token, timeout, allow_private } = policy
  rememberAddress(url)
  const server = { url, timeout, ...(token === undefined ? {} : { token: readSecret(token) }) }
  return opaServer(server, createHttpClient(accessOf({ url, allow_private })))
}
