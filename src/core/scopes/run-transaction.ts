import { RetryableError } from '../errors.js'
import type { Transaction } from '../executor.js'
import type { ScopeContext } from '../scope.js'
import { pauseBefore } from './retry-pause.js'
import { SharedTransaction } from './shared-transaction.js'
import { TransactionScope } from './transaction-scope.js'

/** Runs `work` in a transaction: all of it takes effect, or none. Its scope is dead afterwards. */
export async function runTransaction<T>(
  context: ScopeContext,
  begin: () => Promise<Transaction>,
  work: (scope: TransactionScope) => Promise<T>,
  retries: number,
): Promise<T> {
  for (let retry = 1; ; retry++) {
    try {
      return await attemptTransaction(context, await begin(), work)
    } catch (error) {
      if (!(error instanceof RetryableError) || retry > retries) throw error
    }
    await pauseBefore(retry, context.signal)
  }
}

async function attemptTransaction<T>(
  context: ScopeContext,
  transaction: Transaction,
  work: (scope: TransactionScope) => Promise<T>,
): Promise<T> {
  const shared = new SharedTransaction(transaction)
  const scope = new TransactionScope(context, shared)
  try {
    const result = await work(scope)
    await scope.finish()
    await transaction.commit()
    return result
  } catch (error) {
    await scope.stop()
    await transaction.rollback()
    throw error
  } finally {
    shared.ended()
  }
}
