import { DefinitionError, InvalidInputError } from '../errors.js'
import type { TransactionOptions } from '../scope.js'
import { readOptions } from '../values.js'

const isolations: readonly unknown[] = ['read committed', 'repeatable read', 'serializable']

export function assertWork(work: unknown): void {
  if (typeof work !== 'function')
    throw new DefinitionError(
      'transaction: the argument must be a function, such as async (org) => org.agents.find(id)',
    )
}

/** Checks the options before BEGIN is built from them. Infinite `retries` are refused, so that a deadlock is not repeated for ever. */
export function readTransactionOptions(options: unknown): TransactionOptions {
  const { isolation, retries } = readOptions(options, ['isolation', 'retries'])
  if (isolation !== undefined && !isolations.includes(isolation)) {
    throw new InvalidInputError('isolation', `must be one of ${isolations.join(', ')}`)
  }
  if (retries !== undefined && !(Number.isInteger(retries) && (retries as number) >= 0)) {
    throw new InvalidInputError('retries', 'must be an integer, 0 or more')
  }
  return { isolation, retries } as TransactionOptions
}

/** A savepoint shares the isolation of the transaction around it, and cannot be repeated without it. */
export function refuseOwnOptions(options: unknown): void {
  for (const [name, value] of Object.entries(readTransactionOptions(options))) {
    if (value !== undefined) throw new InvalidInputError(name, 'can be given to the outermost transaction only')
  }
}
