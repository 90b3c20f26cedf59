import type { Executor } from '../core/executor.js'
import { statement } from '../core/statement.js'
import { ConnectionPool, type ConnectionPoolOptions } from './connection-pool.js'
import { runImplicitTransaction } from './implicit-transaction.js'
import { ExplicitTransaction } from './explicit-transaction.js'
import { clusterLock } from './cluster-lock.js'
import type { FactsLookup } from './sqlstate.js'
import { asked, type Asking } from './steps.js'

export interface NodePostgresOptions extends ConnectionPoolOptions {
  /** BEGIN and COMMIT in each write, as a Citus cluster needs it. Default: where the connection is one to a cluster. */
  readonly blocks?: boolean | undefined
  /** The tables, as `schema.name`, that are on every node of a cluster and that calls change. */
  readonly onEveryNode?: ReadonlySet<string> | undefined
  /** Translates the names in the server's errors into those of the caller. */
  readonly lookup?: FactsLookup | undefined
}

const nothing = statement('select', 'read')
const defaultDrain = 10_000
/** Lists every option, so that none is read from a polluted prototype. */
const defaults = { signal: undefined, readOnly: undefined, reenter: undefined, isolation: undefined }

export function openNodePostgres({
  blocks,
  onEveryNode = new Set(),
  lookup,
  debug = false,
  ...options
}: NodePostgresOptions): Executor {
  const onCluster: Asking = (call) => [...clusterLock(call, onEveryNode), asked(call)]
  const asking = ({ isCluster }: { readonly isCluster: boolean }) => (isCluster ? onCluster : undefined)
  const pool = new ConnectionPool({ ...options, debug })
  const executor: Executor = {
    async run(binding, calls, options = defaults) {
      const connection = await pool.take(options.signal)
      try {
        return await runImplicitTransaction(connection, binding, calls, options, {
          blocks: blocks ?? connection.isCluster,
          ask: asking(connection),
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
      return new ExplicitTransaction(connection, binding, { ...options, lookup, debug, ask: asking(connection), onEnd })
    },
    async ping() {
      await executor.run({ kind: 'system', about: undefined }, [{ statement: nothing, values: [] }])
    },
    close: (options) => pool.close(options?.drain ?? defaultDrain),
  }
  return executor
}
