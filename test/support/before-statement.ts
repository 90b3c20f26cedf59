import { onTestFinished } from 'vitest'
import type { Call, Executor } from '../../src/core/executor.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { Tenancy } from '../../src/tenancy.js'

/**
 * The same executor, which does `work` once before it sends the first statement of which the text matches: what another process may do
 * between two statements of one operation.
 */
function beforeStatement(executor: Executor, text: RegExp, work: () => Promise<unknown>): Executor {
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

/** The operations of the system over an executor of `beforeStatement`, until the test ends. */
export function systemBefore(systemUrl: string, text: RegExp, work: () => Promise<unknown>) {
  const opened = openNodePostgres({ pool: { connectionString: systemUrl, max: 2 } })
  const executor = beforeStatement(opened, text, work)
  const tenancy = new Tenancy(executor, secretsOf(passingKeyring()), {}, executor)
  onTestFinished(() => tenancy.close({ drain: 0 }))
  return tenancy.system({ actor: 'test', reason: 'a test' })
}
