import ipaddr from 'ipaddr.js'
import { RE2JS } from 're2js'
import { messageOf, type Position } from '../event/error.ts'
import type { PatternPart, Test } from './ast.ts'
import type { ErrorCode } from './codes.ts'
import { ANYTHING, base64Offsets, hasWildcard, parsePattern, product, tidy, toUtf16, windashVariants } from './pattern.ts'
import { didYouMean, fail } from './problems.ts'
import type { YamlScalar } from './yaml.ts'

/** An entry of a list or of a filter's accounts that ends: what {@link MatchNode.expires} says of a leaf. */
export interface Expiry {
  readonly at: number
  readonly list: string
  readonly value: string
}

/** A value that a list gives for its placeholder. */
export interface Filling {
  readonly text: string
  readonly expires: Expiry | undefined
}

export interface ModifierContext {
  /** The entries of the list of that name; undefined if there is none. @throws where the list exists but did not load */
  fill(name: string, at: Position): readonly Filling[] | undefined
  /** Names for "did you mean". */
  readonly listNames: Iterable<string>
}

/** A modifier as the key of an item names it. */
export interface NamedModifier {
  readonly name: string
  readonly position: Position
}

/** A string on its way to be a test. `raw` is what the rule says, until something has changed it. */
interface Text {
  readonly kind: 'string'
  readonly parts: readonly PatternPart[]
  readonly cased: boolean
  /** Its characters are bytes. */
  readonly encoded: boolean
  readonly raw: string | undefined
  readonly expires: Expiry | undefined
}
type Value = Text | Exclude<Test, { kind: 'text' }>

/** What one value of the rule comes to: tests of which any may hold. */
export type Alternatives = readonly { readonly test: Test; readonly expires: Expiry | undefined }[]

/** Alternatives of one value, beyond which the rule is refused: six flags under windash make 15,625. */
const MAX_ALTERNATIVES = 20_000

/** One modifier at work on one value. */
interface Step {
  readonly value: Value
  /** The value's text in the rule. */
  readonly written: string
  readonly modifier: NamedModifier
  readonly keyword: boolean
  /** The modifier and this kind of value do not go together. */
  refuse(applies: string, hint?: string): never
  /** The value itself is wrong. */
  reject(code: ErrorCode, message: string, hint?: string): never
}
type ValueModifier = (step: Step) => Value | readonly Value[]

/** Linking modifiers say how the values of an item go together; {@link VALUE_MODIFIERS} change each value. */
export const LINKING_MODIFIERS = ['all', 'neq'] as const

const VALUE_MODIFIERS: Readonly<Record<string, ValueModifier>> = {
  contains: position('contains', (parts) => [ANYTHING, ...parts, ANYTHING]),
  startswith: position('startswith', (parts) => [...parts, ANYTHING]),
  endswith: position('endswith', (parts) => [ANYTHING, ...parts]),
  cased: ({ value, refuse }) =>
    value.kind === 'string' || value.kind === 'fieldref' ? { ...value, cased: true } : refuse('applies to strings'),
  windash: onString((text, { reject }) => {
    const variants = windashVariants(text.parts, MAX_ALTERNATIVES)
    return (
      variants?.map((parts) => changed(text, parts)) ??
      reject('SIGMA-EXPANSION-LIMIT', 'windash makes too many variants of this value', 'split the value')
    )
  }),
  wide: utf16le,
  utf16le,
  utf16be: onString((text) => encoded(text, toUtf16(text.parts, 'be'))),
  utf16: onString((text) => encoded(text, ['\xff\xfe', ...toUtf16(text.parts, 'le')])),
  base64: onString((text, step) => encoded(text, [bytesOf(text, step).toString('base64')])),
  base64offset: onString((text, step) => {
    const variants = base64Offsets(bytesOf(text, step))
    if (variants.includes(''))
      step.reject('SIGMA-BASE64-SHORT', 'base64offset needs a value of two bytes at least: shorter ones are found everywhere')
    return variants.map((variant) => encoded(text, [variant]))
  }),
  re: onRaw((source, { reject }) => {
    const { error } = regexEngine(source)
    return error === undefined
      ? { kind: 'regex', source, ignoreCase: false, multiline: false, dotAll: false }
      : reject('SIGMA-REGEX-INVALID', `"${source}" is not a regular expression: ${error}`)
  }),
  i: regexFlag({ ignoreCase: true }),
  ignorecase: regexFlag({ ignoreCase: true }),
  m: regexFlag({ multiline: true }),
  multiline: regexFlag({ multiline: true }),
  s: regexFlag({ dotAll: true }),
  dotall: regexFlag({ dotAll: true }),
  cidr: onRaw((raw, { reject }) => {
    const { network, error, hint } = networkOf(raw)
    return network === undefined
      ? reject('SIGMA-CIDR-INVALID', `"${raw}" is not a CIDR network: ${error}`, hint)
      : { kind: 'cidr', network }
  }),
  exists: ({ value, keyword, refuse }) => {
    if (keyword) refuse('needs a field')
    return value.kind === 'boolean'
      ? { kind: 'exists', value: value.value }
      : refuse('takes true or false', 'write true or false without quotes')
  },
  lt: compare('lt'),
  lte: compare('lte'),
  gt: compare('gt'),
  gte: compare('gte'),
  minute: timePart('minute', 0, 59),
  hour: timePart('hour', 0, 23),
  day: timePart('day', 1, 31),
  week: timePart('week', 1, 53),
  month: timePart('month', 1, 12),
  year: timePart('year', 0, 9999),
  fieldref: fieldReference,
}

const MODIFIER_NAMES = [...LINKING_MODIFIERS, 'expand', ...Object.keys(VALUE_MODIFIERS)]

/** @throws CordonError (through `fail`) if there is no such modifier */
export function checkModifier({ name, position: at }: NamedModifier): void {
  if (MODIFIER_NAMES.includes(name)) return
  fail(
    'SIGMA-MODIFIER-UNKNOWN',
    at,
    `there is no modifier "${name}"`,
    didYouMean(name, MODIFIER_NAMES) ?? `modifiers are ${MODIFIER_NAMES.join(', ')}`,
  )
}

/**
 * Applies the value modifiers of an item, in their order, to one of its values. Gives one group of alternatives, or with
 * `expand` one for each entry of the list, since each entry counts as a value of its own (which `all` asks for one by one).
 */
export function applyModifiers(
  scalar: YamlScalar,
  modifiers: readonly NamedModifier[],
  keyword: boolean,
  context: ModifierContext,
): Alternatives[] {
  let groups: (readonly Value[])[] = [[initial(scalar)]]
  for (const modifier of modifiers) {
    groups =
      modifier.name === 'expand'
        ? groups.flatMap((group) => group.flatMap((value) => expand(value, scalar, modifier, context)).map((value) => [value]))
        : groups.map((group) => group.flatMap((value) => apply(value, scalar, modifier, keyword)))
  }
  return groups.map((group) => group.map((value) => finish(value, scalar, keyword)))
}

function initial(scalar: YamlScalar): Value {
  const { value } = scalar
  if (value === null) return { kind: 'null' }
  if (typeof value === 'boolean') return { kind: 'boolean', value }
  return typeof value === 'string' ? plain(value) : { kind: 'number', value }
}

const plain = (text: string): Text => ({
  kind: 'string',
  parts: parsePattern(text),
  cased: false,
  encoded: false,
  raw: text,
  expires: undefined,
})

/** String modifiers take a number as it is written: `contains: 00000429` has its zeros. */
const stringOf = ({ value, written }: Step): Text | undefined =>
  value.kind === 'string' ? value : value.kind === 'number' ? plain(written) : undefined

function apply(value: Value, scalar: YamlScalar, modifier: NamedModifier, keyword: boolean): readonly Value[] {
  const result = VALUE_MODIFIERS[modifier.name]!({
    value,
    written: scalar.text,
    modifier,
    keyword,
    refuse: (applies, hint) =>
      fail('SIGMA-MODIFIER-MISMATCH', modifier.position, `|${modifier.name} ${applies}, not ${nameOf(value)}`, hint),
    reject: (code, message, hint) => fail(code, scalar, message, hint),
  })
  return 'kind' in result ? [result] : result
}

/** Keywords look for their text anywhere in a value; all that a modifier made of them is already what it says. */
function finish(value: Value, scalar: YamlScalar, keyword: boolean): Alternatives[number] {
  if (value.kind === 'string') {
    const parts = keyword && value.raw !== undefined ? [ANYTHING, ...value.parts, ANYTHING] : value.parts
    return { test: { kind: 'text', parts: tidy(parts), cased: value.cased }, expires: value.expires }
  }
  if (keyword && (value.kind === 'null' || value.kind === 'fieldref'))
    fail('SIGMA-VALUE-TYPE', scalar, `${nameOf(value)} needs a field: a keyword is a text`)
  if (keyword && (value.kind === 'number' || value.kind === 'boolean')) {
    return { test: { kind: 'text', parts: [ANYTHING, scalar.text, ANYTHING], cased: false }, expires: undefined }
  }
  return { test: value, expires: undefined }
}

function nameOf(value: Value): string {
  switch (value.kind) {
    case 'string':
      return value.raw === undefined ? 'a string that another modifier has changed' : 'a string'
    case 'number':
    case 'boolean':
      return String(value.value)
    case 'regex':
      return 'a regular expression'
    case 'fieldref':
      return 'a field reference'
    default:
      return value.kind
  }
}

const changed = (text: Text, parts: readonly PatternPart[]): Text => ({ ...text, parts: tidy(parts), raw: undefined })
const encoded = (text: Text, parts: readonly PatternPart[]): Text => ({ ...changed(text, parts), encoded: true })

function onString(change: (text: Text, step: Step) => Value | readonly Value[]): ValueModifier {
  return (step) => {
    const text = stringOf(step)
    return text === undefined ? step.refuse('applies to strings') : change(text, step)
  }
}

/** For modifiers that read the value as something else than a Sigma string, so that nothing may have changed it. */
function onRaw(make: (raw: string, step: Step) => Test & Value): ValueModifier {
  return onString(({ raw }, step) => {
    if (raw !== undefined) return make(raw, step)
    const network = step.modifier.name === 'cidr'
    return step.refuse(
      'must come first, before all modifiers but "all" and "neq"; it takes a plain string',
      network ? 'for a list of networks write a filter document with the networks in it: expand and cidr do not combine' : undefined,
    )
  })
}

function position(name: 'contains' | 'startswith' | 'endswith', wrap: (parts: readonly PatternPart[]) => PatternPart[]): ValueModifier {
  return (step) => {
    const text = stringOf(step)
    if (text !== undefined) return changed(text, wrap(text.parts))
    const { value, refuse } = step
    if (value.kind === 'fieldref') return { ...value, position: name }
    // A regular expression is found anywhere as it is; for the other two it must say so itself.
    if (value.kind === 'regex' && name === 'contains') return value
    return refuse('applies to strings', value.kind === 'regex' ? 'tie the regular expression down with ^ and $' : undefined)
  }
}

function utf16le(step: Step): Value | readonly Value[] {
  return onString((text) => encoded(text, toUtf16(text.parts, 'le')))(step)
}

function bytesOf(text: Text, { reject, modifier }: Step): Buffer {
  if (hasWildcard(text.parts)) {
    const hint = `put contains, startswith and endswith after ${modifier.name}, and write a literal * as \\*`
    reject('SIGMA-BASE64-WILDCARD', `${modifier.name} cannot encode a wildcard`, hint)
  }
  return Buffer.from(text.parts.join(''), text.encoded ? 'latin1' : 'utf8')
}

function regexFlag(flag: { ignoreCase?: true; multiline?: true; dotAll?: true }): ValueModifier {
  return ({ value, refuse }) => (value.kind === 'regex' ? { ...value, ...flag } : refuse('follows re', 'write |re before it'))
}

function compare(operator: 'lt' | 'lte' | 'gt' | 'gte'): ValueModifier {
  return ({ value, refuse }) =>
    value.kind === 'number' ? { kind: 'compare', operator, value: value.value } : refuse('takes a number', 'write a number without quotes')
}

function timePart(part: Extract<Test, { kind: 'timepart' }>['part'], least: number, most: number): ValueModifier {
  return ({ value, refuse }) => {
    const fits = value.kind === 'number' && Number.isInteger(value.value) && value.value >= least && value.value <= most
    return fits ? { kind: 'timepart', part, value: Number(value.value) } : refuse(`takes a whole number from ${least} to ${most}`)
  }
}

/** Either order is clear: `fieldref|endswith`, and `endswith|fieldref`, whose value already has its `*`. */
function fieldReference({ value, refuse }: Step): Value {
  if (value.kind !== 'string') return refuse('takes the name of a field')
  const { parts, cased, raw } = value
  const open = { start: parts[0] === ANYTHING, end: parts.at(-1) === ANYTHING }
  const [field, ...more] = raw === undefined ? parts.filter((part) => part !== ANYTHING) : parts
  if (typeof field !== 'string' || more.length > 0) return refuse('takes the name of a field, without wildcards')
  const where = open.start ? (open.end ? 'contains' : 'endswith') : open.end ? 'startswith' : 'equals'
  return { kind: 'fieldref', field, position: where, cased }
}

/** Placeholders of a string, `%name%`; `\%` is a percent sign. */
const PLACEHOLDER = /(?<!\\)%([^%]+)%/g

function expand(value: Value, scalar: YamlScalar, modifier: NamedModifier, context: ModifierContext): Text[] {
  if (value.kind !== 'string') {
    const hint =
      value.kind === 'cidr'
        ? 'for a list of networks write a filter document with the networks in it: expand and cidr do not combine'
        : undefined
    return fail('SIGMA-MODIFIER-MISMATCH', modifier.position, `|expand applies to strings, not ${nameOf(value)}`, hint)
  }
  const choices = value.parts.flatMap((part): Filled[][] => {
    if (typeof part !== 'string') return [[{ parts: [part], expires: undefined }]]
    const pieces: Filled[][] = []
    const literal = (text: string) => pieces.push([{ parts: [text.replaceAll('\\%', '%')], expires: undefined }])
    let from = 0
    for (const match of part.matchAll(PLACEHOLDER)) {
      literal(part.slice(from, match.index))
      pieces.push(entriesOf(match[1]!, scalar, context))
      from = match.index + match[0].length
    }
    literal(part.slice(from))
    return pieces
  })
  const several = choices.filter((choice) => choice.length > 1).length > 1
  const combined = product(choices, several ? MAX_ALTERNATIVES : Number.POSITIVE_INFINITY)
  if (combined === undefined)
    return fail('SIGMA-EXPANSION-LIMIT', scalar, 'the placeholders of this value make too many combinations', 'use one placeholder a value')
  return combined.map((pieces) => ({
    ...value,
    parts: tidy(pieces.flatMap((piece) => piece.parts)),
    expires: pieces.map((piece) => piece.expires).reduce(earlier, value.expires),
  }))
}

interface Filled {
  readonly parts: readonly PatternPart[]
  readonly expires: Expiry | undefined
}

function entriesOf(name: string, scalar: YamlScalar, context: ModifierContext): Filled[] {
  const at = scalar.at(Math.max(0, scalar.text.indexOf(`%${name}%`)))
  const entries = context.fill(name, at)
  if (entries === undefined) {
    const hint = didYouMean(name, context.listNames) ?? `add a list file: {name: ${name}, entries: [{value: …}]}`
    return fail('SIGMA-PLACEHOLDER-UNRESOLVED', at, `no list is named "${name}"`, hint)
  }
  return entries.map(({ text, expires }) => ({ parts: parsePattern(text), expires }))
}

function earlier(one: Expiry | undefined, other: Expiry | undefined): Expiry | undefined {
  return one === undefined || (other !== undefined && other.at < one.at) ? other : one
}

/**
 * Which engine can run a pattern: the linear one, only a backtracking one (look-around, back references), or none.
 * Sigma's flavour is PCRE; both engines take its common part.
 */
export function regexEngine(source: string): { readonly linear: boolean; readonly error?: string } {
  try {
    RE2JS.compile(source)
    return { linear: true }
  } catch {
    try {
      new RegExp(source)
      return { linear: false }
    } catch (error) {
      return { linear: false, error: messageOf(error).replace(/^Invalid regular expression: /, '') }
    }
  }
}

/** The network that a text is, with its prefix length; a bare address is the network of itself. */
function networkOf(text: string): { network?: string; error?: string; hint?: string } {
  const [address = '', prefix, ...more] = text.split('/')
  const version = ipaddr.IPv4.isValidFourPartDecimal(address) ? 4 : ipaddr.IPv6.isValid(address) && !address.includes('%') ? 6 : undefined
  if (version === undefined || more.length > 0)
    return { error: 'it begins with no IP address', hint: 'write an address and a prefix length: 10.0.0.0/24' }
  const bits = version === 4 ? 32 : 128
  if (prefix === undefined) return { network: `${address}/${bits}` }
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) return { error: `the prefix length is a number from 0 to ${bits}` }
  const first = (version === 4 ? ipaddr.IPv4 : ipaddr.IPv6).networkAddressFromCIDR(text).toString()
  if (first !== ipaddr.parse(address).toString())
    return { error: 'it has bits set beyond its prefix', hint: `did you mean ${first}/${prefix}?` }
  return { network: text }
}
