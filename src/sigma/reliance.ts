import type { CorrelationRule, Rule } from './ast.ts'
import { SECTION } from './extension.ts'
import { firesOnLess } from './fingerprint.ts'
import { fail, type Problems } from './problems.ts'
import { entryOf, get, nodeAt, type YamlMap, type YamlScalar } from './yaml.ts'

const KEY = 'relies_on'

/** The silence rules that a correlation relies on, as it names them. */
export function reliedOn(root: YamlMap): readonly YamlScalar[] {
  const section = get(root, SECTION)
  const named = section?.kind === 'map' ? entryOf(section, KEY)?.value : undefined
  return named?.kind === 'list' ? named.items.filter((item) => item.kind === 'scalar') : []
}

/** @throws CordonError `CORDON-RELIANCE` where the rule that is named watches over no source */
export function asSilence(reference: YamlScalar, rule: Rule): CorrelationRule {
  if (rule.kind === 'correlation' && rule.extension.silence === true) return rule
  return fail('CORDON-RELIANCE', reference, `"${reference.text}" is no silence rule`, `name a correlation with ${SECTION}.silence: true`)
}

/** What a silent source makes unknown is what is absent: a correlation that asks for nothing absent relies on nobody. */
export function checkReliance(
  root: YamlMap,
  rule: CorrelationRule,
  children: readonly Rule[],
  silences: readonly CorrelationRule[],
  problems: Problems,
): void {
  if (silences.length === 0) return
  const at = nodeAt(root, [SECTION, KEY])
  const { firstSeen, silence, gaps } = rule.extension
  const isCourse = firstSeen !== undefined || silence !== undefined || gaps !== undefined
  if (isCourse || (firesOnLess(rule) && children.every(({ kind }) => kind !== 'correlation')))
    problems.error(
      'CORDON-RELIANCE',
      at,
      'nothing that this correlation asks for is absent, so no silence can mean that it only was not heard',
      `take ${KEY} out; it is for conditions with "not", or with an upper bound`,
    )
  for (const [place, { title, extension }] of silences.entries()) {
    if (extension.mode === 'off')
      problems.warn(
        'LINT-RELIANCE-OFF',
        nodeAt(at, [place]),
        `"${title}" is off: nobody hears of its silences`,
        'mode: shadow watches and tells nobody',
      )
  }
}
