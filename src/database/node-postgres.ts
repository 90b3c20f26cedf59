import type { Executor } from '../core/executor.js'
import { statement } from '../core/statement.js'
import { ConnectionPool, type ConnectionPoolOptions } from './connection-pool.js'
import { runImplicitTransaction } from './implicit-transaction.js'
import { ExplicitTransaction } from './explicit-transaction.js'
import type { FactsLookup } from './sqlstate.js'

export interface NodePostgresOptions extends ConnectionPoolOptions {
  /** BEGIN and COMMIT in each write, as a Citus cluster needs it. Default: where the connection is one to a cluster. */
  readonly blocks?: boolean | undefined
  /** Translates the names in the server's errors into those of the caller. */
  readonly lookup?: FactsLookup | undefined
}

const nothing = statement('select', 'read')
const defaultDrain = 10_000
/** Lists every option, so that none is read from a polluted prototype. */
const defaults = { signal: undefined, readOnly: undefined, reenter: undefined, isolation: undefined }

export function openNodePostgres({ blocks, lookup, debug = false, ...options }: NodePostgresOptions): Executor {
  const pool = new ConnectionPool({ ...options, debug })
  const executor: Executor = {
    async run(binding, calls, options = defaults) {
      const connection = await pool.take(options.signal)
      try {
        return await runImplicitTransaction(connection, binding, calls, options, {
          blocks: blocks ?? connection.isCluster,
          lookup,
          debug,
        })
      } finally {
        pool.give(connection)
      }
    },
    async begin(binding, options = defaults) {
      const connection = await pool.take(options.signal)
      const onEnd = (): void => {
        pool.give(connection)
      }
      return new ExplicitTransaction(connection, binding, { ...options, lookup, debug, onEnd })
    },
    async ping() {
      await executor.run({ kind: 'system', about: undefined }, [{ statement: nothing, values: [] }])
    },
    close: (options) => pool.close(options?.drain ?? defaultDrain),
  }
  return executor
}
