import { type Executor, statement } from '../core/executor.js'
import { ConnectionPool, type ConnectionPoolOptions } from './connection-pool.js'
import { runImplicitTransaction } from './implicit-transaction.js'
import { ExplicitTransaction } from './explicit-transaction.js'
import type { FactsLookup } from './sqlstate.js'

export interface NodePostgresOptions extends ConnectionPoolOptions {
  /** BEGIN and COMMIT in each write, as Citus needs it. */
  readonly blocks?: boolean | undefined
  /** What the names in the server's errors are to the caller. */
  readonly lookup?: FactsLookup | undefined
}

const nothing = statement('select', 'read')
const defaultDrain = 10_000

export function openNodePostgres({ blocks = false, lookup, ...options }: NodePostgresOptions): Executor {
  const pool = new ConnectionPool(options)
  const executor: Executor = {
    async run(binding, calls, options = {}) {
      const connection = await pool.take(options.signal)
      try {
        return await runImplicitTransaction(connection, binding, calls, options, { blocks, lookup })
      } finally {
        pool.give(connection)
      }
    },
    async begin(binding, options = {}) {
      const connection = await pool.take(options.signal)
      const onEnd = (): void => {
        pool.give(connection)
      }
      return new ExplicitTransaction(connection, binding, { ...options, lookup, onEnd })
    },
    async ping() {
      await executor.run({ kind: 'system', about: undefined }, [{ statement: nothing, values: [] }])
    },
    close: ({ drain = defaultDrain } = {}) => pool.close(drain),
  }
  return executor
}
