import type { Call, Executor, Transaction } from '../../src/core/executor.js'

/** An executor, and what was sent through it: of each statement the first call. */
export function recording(executor: Executor): {
  readonly executor: Executor
  readonly sent: ReadonlyMap<string, Call>
} {
  const sent = new Map<string, Call>()
  const note = (calls: readonly Call[]): void => {
    for (const call of calls) {
      if (!sent.has(call.statement.text)) sent.set(call.statement.text, call)
    }
  }
  return {
    sent,
    executor: {
      run(binding, calls, options) {
        note(calls)
        return executor.run(binding, calls, options)
      },
      begin: async (binding, options) => noting(await executor.begin(binding, options), note),
      ping: () => executor.ping(),
      close: (options) => executor.close(options),
    },
  }
}

const noting = (transaction: Transaction, note: (calls: readonly Call[]) => void): Transaction => ({
  run(calls) {
    note(calls)
    return transaction.run(calls)
  },
  savepoint: () => transaction.savepoint(),
  release: (savepoint) => {
    transaction.release(savepoint)
  },
  rollbackTo: (savepoint) => {
    transaction.rollbackTo(savepoint)
  },
  commit: () => transaction.commit(),
  rollback: () => transaction.rollback(),
})
