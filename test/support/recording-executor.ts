import type { BeginOptions, Call, Executor, RunOptions, Transaction } from '../../src/core/executor.js'

/** One call that was sent, or one transaction that was begun, in the words of the executor. */
export interface Sent {
  readonly text: string
  readonly values: readonly unknown[]
  /** As an executor reads them: inherited ones count. */
  readonly options: readonly unknown[]
}

/** An executor, and what was sent through it: of each statement the first call, and all calls in their order. */
export function recording(executor: Executor): {
  readonly executor: Executor
  readonly sent: ReadonlyMap<string, Call>
  readonly log: readonly Sent[]
} {
  const sent = new Map<string, Call>()
  const log: Sent[] = []
  const remember = (call: Call): void => {
    if (!sent.has(call.statement.text)) sent.set(call.statement.text, call)
  }
  const note = (calls: readonly Call[], options: readonly unknown[] = []): void => {
    for (const call of calls) {
      remember(call)
      log.push({ text: call.statement.text, values: call.values, options })
    }
  }
  return {
    sent,
    log,
    executor: {
      run(binding, calls, options) {
        note(calls, runOptions(options))
        return executor.run(binding, calls, options)
      },
      begin: async (binding, options) => {
        log.push({ text: 'begin', values: [], options: beginOptions(options) })
        return noting(await executor.begin(binding, options), note)
      },
      ping: () => executor.ping(),
      close: (options) => executor.close(options),
    },
  }
}

const runOptions = ({ signal, readOnly, reenter }: RunOptions = {}) => [signal, readOnly, reenter]
const beginOptions = ({ signal, readOnly, isolation }: BeginOptions = {}) => [signal, readOnly, isolation]

const noting = (transaction: Transaction, note: (calls: readonly Call[]) => void): Transaction => ({
  run(calls) {
    note(calls)
    return transaction.run(calls)
  },
  get isUsable() {
    return transaction.isUsable
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
