import type { Expression, Predicate } from './lower.ts'

/** Where a program ends. Addresses are not negative. */
export const ACCEPT = -1
export const REJECT = -2
/** Numbers per instruction: a predicate, the address to go to where it holds, and the one where it does not. */
export const INSTRUCTION_SIZE = 3

/**
 * Appends an expression to `code` as a branching program and returns the address that it starts at. There are no operators left:
 * and, or, not have become the places that each question leads to, so a rule stops at the first answer that decides.
 *
 * @param numberOf the number by which the program is to ask for a predicate
 */
export function assemble(expression: Expression, numberOf: (predicate: Predicate) => number, code: number[]): number {
  const branch = (node: Expression, onTrue: number, onFalse: number): number => {
    switch (node.op) {
      case 'predicate':
        return code.push(numberOf(node.predicate), onTrue, onFalse) - INSTRUCTION_SIZE
      case 'not':
        return branch(node.operand, onFalse, onTrue)
      case 'and':
        return cheapestFirst(node.operands).reduceRight((next, operand) => branch(operand, next, onFalse), onTrue)
      case 'or':
        return cheapestFirst(node.operands).reduceRight((next, operand) => branch(operand, onTrue, next), onFalse)
    }
  }
  return branch(expression, ACCEPT, REJECT)
}

/** What the index has answered already is asked before what must be worked out. */
function cheapestFirst(operands: readonly Expression[]): readonly Expression[] {
  return operands.toSorted((a, b) => Number(isSlow(a)) - Number(isSlow(b)))
}

function isSlow(node: Expression): boolean {
  switch (node.op) {
    case 'predicate':
      return node.predicate.probe.kind === 'slow'
    case 'not':
      return isSlow(node.operand)
    default:
      return node.operands.some(isSlow)
  }
}
