import type { Call, Executor } from '../../src/core/executor.js'

/**
 * The same executor, which does `work` once before it sends the first statement of which the text matches: what another process may do
 * between two statements of one operation.
 */
export function beforeStatement(executor: Executor, text: RegExp, work: () => Promise<unknown>): Executor {
  let isDone = false
  const meanwhile = async (calls: readonly Call[]) => {
    if (isDone || !calls.some(({ statement }) => text.test(statement.text))) return
    isDone = true
    await work()
  }
  return Object.assign(Object.create(executor) as Executor, {
    run: async (...given: Parameters<Executor['run']>) => {
      await meanwhile(given[1])
      return executor.run(...given)
    },
    begin: async (...given: Parameters<Executor['begin']>) => {
      const transaction = await executor.begin(...given)
      return Object.assign(Object.create(transaction) as typeof transaction, {
        run: async (...sent: Parameters<typeof transaction.run>) => {
          await meanwhile(sent[0])
          return transaction.run(...sent)
        },
      })
    },
  })
}
