import type { Binding, Call, Executor, Owner, Result, RunOptions } from '../core/executor.js'
import type { TenantryError } from '../core/errors.js'
import { statement } from '../core/statement.js'
import type { Connection } from './connection.js'
import { ConnectionPool, type ConnectionPoolOptions } from './connection-pool.js'
import { runImplicitTransaction } from './implicit-transaction.js'
import { ExplicitTransaction } from './explicit-transaction.js'
import { clusterLocks } from './cluster-lock.js'
import { ofAll } from './outcome.js'
import { ReadHistory } from './read-history.js'
import { ReadTicks } from './read-ticks.js'
import type { FactsLookup } from './sqlstate.js'
import { asked, type Asking } from './steps.js'

export interface NodePostgresOptions extends ConnectionPoolOptions {
  /** BEGIN and COMMIT in each write, as a Citus cluster needs it. Default: where the connection is one to a cluster. */
  readonly blocks?: boolean | undefined
  /** The tables, as `schema.name`, that are on every node of a cluster and that calls change. */
  readonly onEveryNode?: ReadonlySet<string> | undefined
  /** A read of which the server has taken so many milliseconds goes alone, so that those of the same tick do not wait for it. */
  readonly slowAfter?: number | undefined
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
  slowAfter = 1,
  lookup,
  debug = false,
  ...options
}: NodePostgresOptions): Executor {
  const locksOf = clusterLocks(onEveryNode)
  const onCluster: Asking = (call) => [...locksOf(call), asked(call)]
  const asking = ({ isCluster }: { readonly isCluster: boolean }) => (isCluster ? onCluster : undefined)
  const pool = new ConnectionPool({ ...options, debug })
  const history = new ReadHistory(slowAfter)
  const send = async (
    binding: Binding,
    calls: readonly Call[],
    options: RunOptions,
    measured?: Owner,
  ): Promise<Result[]> => {
    let connection: Connection
    try {
      connection = pool.takeIdle() ?? (await pool.take(options.signal))
    } catch (error) {
      throw ofAll(error as TenantryError)
    }
    const isBlock = blocks ?? connection.isCluster
    try {
      // On a cluster no read waits for another one: their shards may be elsewhere.
      const start = measured === undefined || isBlock ? undefined : performance.now()
      const results = await runImplicitTransaction(connection, binding, calls, options, {
        blocks: isBlock,
        ask: asking(connection),
        lookup,
        debug,
      })
      if (measured !== undefined && start !== undefined)
        history.note(measured, calls, connection.beyondFastest(performance.now() - start))
      return results
    } finally {
      pool.give(connection)
    }
  }
  const ticks = new ReadTicks(send, history)
  const executor: Executor = {
    run: (binding, calls, options = defaults) =>
      pool.isPlain ? send(binding, calls, options) : ticks.run(binding, calls, options),
    async begin(binding, options = defaults) {
      const connection = await pool.take(options.signal)
      const onEnd = (): void => {
        pool.give(connection)
      }
      const { isPlain } = pool
      return new ExplicitTransaction(connection, binding, {
        ...{ ...options, lookup, debug, isPlain, onEnd },
        ask: asking(connection),
      })
    },
    async ping() {
      await executor.run({ kind: 'system', about: undefined }, [{ statement: nothing, values: [] }])
    },
    close: (options) => pool.close(options?.drain ?? defaultDrain),
  }
  return executor
}
