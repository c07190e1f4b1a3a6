import validator from 'validator'
import type { Finding } from './kind.ts'
import { isPossiblePhone } from './phones.ts'

/*
 * Numbers of people: cards, accounts, social security, telephones. Each needs its form, its check digits where it has some, and boundaries,
 * because events are full of other numbers.
 */

/** Alone, or in the groups that are embossed: 4-4-4-4 (and 3 more), 4-6-5, 4-6-4. Neither part of a word nor of a decimal fraction. */
const CARD =
  /(?<![\dA-Za-z]|\d\.)(?:\d{13,19}|\d{4}([ \u00a0-])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{3})?|\d{4}([ \u00a0-])\d{6}\2\d{4,5})(?![\dA-Za-z]|\.\d)/g
/** Visa, Mastercard, Mir, American Express, Diners, Discover, JCB, UnionPay. */
const ISSUED =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:20[0-4]|22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17})$/

const SSN = /(?<![\dA-Za-z]|\d[-.])(?!000|666|9)\d{3}([ -])(?!00)\d{2}\1(?!0000)\d{4}(?![\dA-Za-z]|[-.]\d)/g
/** Without its hyphens it is any nine digits, so somebody must say what it is. */
const LABELLED_SSN = /(?<!REDACTED:)\b(?:ssn|social security(?: (?:number|no\.?))?)["']?\W{1,4}(\d{9})(?![\dA-Za-z])/gi

/** As it is dialled from abroad, or as it is written in North America. */
const PHONE = /(?<![\dA-Za-z])\+[1-9](?:[ \u00a0().-]{0,2}\d){6,14}(?!\d)/g
const PHONE_US = /(?<![\dA-Za-z]|\d[-.])(?:1[-. ])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[-.])\d{3}[-. ]\d{4}(?![\dA-Za-z]|[-.]\d)/g

const IBAN_START = /(?<![\dA-Za-z])[A-Za-z]{2}\d\d(?=[ -]?[\dA-Za-z]{4})/g
const SHORTEST_IBAN = 15
const LONGEST_IBAN = 34

/** A payment card number, as digits: of an issuer, and with the check digit that belongs to it. */
export function isCard(digits: string): boolean {
  return ISSUED.test(digits) && hasCheckDigit(digits)
}

/** ISO/IEC 7812-1, annex B (Luhn). */
function hasCheckDigit(digits: string): boolean {
  let sum = 0
  for (let at = digits.length - 1, even = false; at >= 0; at--, even = !even) {
    const digit = digits.charCodeAt(at) - ZERO
    sum += even ? 2 * digit - (digit > 4 ? 9 : 0) : digit
  }
  return sum % 10 === 0
}

const ZERO = 0x30

/** What a text must have for any of the forms to fit: cheaper than to try them. */
const SIGNS =
  /\d{13}|\d{4}[ \u00a0-]\d{4,6}[ \u00a0-]\d|\d{3}[ -]\d\d[ -]\d{4}|\+\d|\d{3}(?:[-.]|\) ?)\d{3}[-. ]\d{4}|[A-Za-z]{2}\d\d[ -]?[\dA-Za-z]{4}|ssn|social/i

/** Cards, IBANs, social security and telephone numbers. */
export function findNumbers(text: string): readonly Iterable<Finding>[] {
  return SIGNS.test(text) ? [cards(text), ibans(text), ssns(text), labelledSsns(text), phones(text), americanPhones(text)] : []
}

function* cards(text: string): Generator<Finding> {
  for (const { 0: found, index: start } of text.matchAll(CARD)) {
    const value = digitsOf(found)
    if (isCard(value)) yield { kind: 'card', start, end: start + found.length, value }
  }
}

function* ibans(text: string): Generator<Finding> {
  for (const { index: start } of text.matchAll(IBAN_START)) {
    const end = ibanEnd(text, start)
    if (end !== undefined) yield { kind: 'iban', start, end, value: text.slice(start, end).replaceAll(/[ -]/g, '').toUpperCase() }
  }
}

function* ssns(text: string): Generator<Finding> {
  for (const { 0: found, index: start } of text.matchAll(SSN))
    yield { kind: 'ssn', start, end: start + found.length, value: digitsOf(found) }
}

function* labelledSsns(text: string): Generator<Finding> {
  for (const { 0: found, 1: digits, index } of text.matchAll(LABELLED_SSN)) {
    const end = index + found.length
    yield { kind: 'ssn', start: end - digits!.length, end, value: digits! }
  }
}

function* phones(text: string): Generator<Finding> {
  for (const { 0: found, index: start } of text.matchAll(PHONE)) {
    const phone = dialled(found)
    if (phone !== undefined) yield { kind: 'phone', start, end: start + phone.length, value: digitsOf(phone) }
  }
}

function* americanPhones(text: string): Generator<Finding> {
  for (const { 0: found, index: start } of text.matchAll(PHONE_US)) {
    const digits = digitsOf(found)
    yield { kind: 'phone', start, end: start + found.length, value: digits.length === 10 ? `1${digits}` : digits }
  }
}

const digitsOf = (text: string) => text.replaceAll(/\D/g, '')

/** The longest beginning that is a telephone number of its country's length: other numbers may follow it. */
function dialled(candidate: string): string | undefined {
  for (let text = candidate; text !== ''; text = text.slice(0, Math.max(0, text.search(/[^\d+]+\d+$/)))) {
    if (isPossiblePhone(digitsOf(text))) return text
  }
  return undefined
}

/**
 * The end of the IBAN that begins here, in groups or not. Its remainder by 97 is carried along, so that what follows it in letters or
 * digits is told from it in one pass.
 */
function ibanEnd(text: string, start: number): number | undefined {
  const tail = (place(text, start) * 100 + place(text, start + 1)) * 100 + Number(text.slice(start + 2, start + 4))
  let rest = 0
  let at = start + 4
  for (let count = 5; count <= LONGEST_IBAN; count++, at++) {
    if (text[at] === ' ' || text[at] === '-') at++
    const value = place(text, at)
    if (value === NO_PLACE) return undefined
    rest = (rest * (value < 10 ? 10 : 100) + value) % 97
    const whole = count >= SHORTEST_IBAN && place(text, at + 1) === NO_PLACE
    if (whole && (rest * 1_000_000 + tail) % 97 === 1 && validator.isIBAN(text.slice(start, at + 1))) return at + 1
  }
  return undefined
}

const NO_PLACE = 0xff
const PLACES = new Uint8Array(128).fill(NO_PLACE)
for (const [value, character] of [...'0123456789abcdefghijklmnopqrstuvwxyz'].entries()) {
  PLACES[character.charCodeAt(0)] = PLACES[character.toUpperCase().charCodeAt(0)] = value
}

/** 0 to 9 for digits, 10 to 35 for Latin letters. */
function place(text: string, at: number): number {
  return PLACES[text.charCodeAt(at)] ?? NO_PLACE
}
