import { formatTime } from '../../event/time.ts'
import type { AllowList } from './allow-list.ts'

/** An allow-list as something reads it that enforces it, and the entries that it cannot say. */
export interface Rendered {
  readonly text: string
  readonly unsaid: readonly string[]
}

/** By the name that `--format` has for them. */
export const FORMS = { nftables, squid } as const satisfies Record<string, (list: AllowList) => Rendered>
export type FormName = keyof typeof FORMS

const TABLE = 'inet cordon_egress'

/**
 * A rule set of nftables (nft(8)) that replaces its own table as a whole, and lets a host begin connections to the listed networks only.
 * What answers goes out, and so does what IPv6 finds its neighbours with. It knows no names: those are unsaid.
 */
function nftables(list: AllowList): Rendered {
  const set = (name: string, type: string, networks: readonly string[]) => [
    `\tset ${name} {`,
    `\t\ttype ${type}`,
    '\t\tflags interval',
    '\t\tauto-merge',
    ...(networks.length === 0 ? [] : [`\t\telements = { ${networks.join(', ')} }`]),
    '\t}',
  ]
  const lines = [
    ...heading(list),
    `table ${TABLE}`,
    `delete table ${TABLE}`,
    `table ${TABLE} {`,
    ...set(
      'allowed4',
      'ipv4_addr',
      list.networks.filter((network) => !isSix(network)),
    ),
    ...set('allowed6', 'ipv6_addr', list.networks.filter(isSix)),
    '\tchain output {',
    '\t\ttype filter hook output priority filter; policy accept;',
    '\t\tct state established,related accept',
    '\t\tip daddr @allowed4 accept',
    '\t\tip6 daddr @allowed6 accept',
    '\t\ticmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept',
    '\t\tcounter reject with icmpx admin-prohibited',
    '\t}',
    '}',
  ]
  return { text: lines.join('\n'), unsaid: list.domains }
}

/**
 * Access lists for squid.conf, to be included before the site's own `http_access` lines: they deny what is not listed, and allow nothing by
 * themselves. A name is the one that was asked for, never one that an address claims to have (`-n`).
 */
function squid(list: AllowList): Rendered {
  const [patterns, names] = [list.domains.filter(isPattern), list.domains.filter((domain) => !isPattern(domain))]
  const acls = [
    ['cordon_networks', 'dst', list.networks],
    ['cordon_names', 'dstdomain -n', names],
    ['cordon_patterns', 'dstdom_regex -n -i', patterns.map(expressionOf)],
  ] as const
  const used = acls.filter(([, , values]) => values.length > 0)
  const lines = [
    ...heading(list),
    ...used.flatMap(([name, type, values]) => values.map((value) => `acl ${name} ${type} ${value}`)),
    `http_access deny ${used.length === 0 ? 'all' : used.map(([name]) => `!${name}`).join(' ')}`,
  ]
  return { text: lines.join('\n'), unsaid: [] }
}

function heading({ rule, until }: AllowList): readonly string[] {
  const note = until === undefined ? [] : [`# Make it again before ${formatTime(until)}, when the first entry expires.`]
  return [`# Destinations that no alert of the rule "${rule.replaceAll(/\s+/g, ' ')}" comes from.`, ...note]
}

const isSix = (network: string) => network.includes(':')
const isPattern = (domain: string) => domain.includes('*')

/** Without wildcards at its ends, which Squid complains of. */
function expressionOf(domain: string): string {
  const whole = `^${domain.replaceAll('.', '\\.').replaceAll('*', '.*')}$`
  return whole.replace(/^\^(?:\.\*)+(?=.)/, '').replace(/(?<=.)(?:\.\*)+\$$/, '')
}
