import type { Config } from '../config.ts'
import { loadRules } from '../rules/rules.ts'
import { type AllowList, allowListOf } from './allow-list.ts'
import { FORMS, type FormName, type Rendered } from './forms.ts'

/**
 * The allow-list of a rule, of the rules, filters and lists that are configured, as of `now` (milliseconds).
 *
 * @throws CordonError `RULE_UNKNOWN`, `RULES_NOT_FOUND`
 */
export function egressOf(config: Config, rule: string, form: FormName, now: number): AllowList & Rendered {
  const list = allowListOf(loadRules(config.rules), rule, now)
  return { ...list, ...FORMS[form](list) }
}
