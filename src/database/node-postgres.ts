import { aborted, onAbort } from '../core/abort.js'
import type { Binding, Call, Executor, Owner, Result, RunOptions } from '../core/executor.js'
import type { TenantryError } from '../core/errors.js'
import { statement } from '../core/statement.js'
import type { Connection } from './connection.js'
import { ConnectionPool, type ConnectionPoolOptions } from './connection-pool.js'
import { runImplicitTransaction } from './implicit-transaction.js'
import { ExplicitTransaction } from './explicit-transaction.js'
import { clusterLocks } from './cluster-lock.js'
import { ofAll } from './outcome.js'
import type { Pipeline } from './pipeline.js'
import { ReadHistory } from './read-history.js'
import { ReadTicks } from './read-ticks.js'
import { SharedConnections } from './shared-connections.js'
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
  const shared = new SharedConnections(pool, 2 * slowAfter)
  const transact = (
    connection: Connection,
    binding: Binding,
    calls: readonly Call[],
    options: RunOptions,
    onEnd?: (pipeline: Pipeline) => void,
  ): Promise<Result[]> =>
    runImplicitTransaction(connection, binding, calls, options, {
      blocks: blocks ?? connection.isCluster,
      ask: asking(connection),
      lookup,
      debug,
      onEnd,
    })
  const apart = async (
    binding: Binding,
    calls: readonly Call[],
    options: RunOptions,
    measured?: Owner,
  ): Promise<Result[]> => {
    const connection = pool.takeIdle() ?? (await shared.takeApart(options.signal).catch(rethrowForAll))
    // On a cluster no read waits for another one: their shards may be elsewhere.
    const isMeasured = measured !== undefined && !(blocks ?? connection.isCluster)
    try {
      return await transact(connection, binding, calls, options, (pipeline) => {
        if (isMeasured) history.note(measured, calls, pipeline)
      })
    } finally {
      pool.give(connection)
    }
  }
  const besideOthers = async (
    connection: Connection,
    owner: Owner,
    calls: readonly Call[],
    signal: AbortSignal | undefined,
  ): Promise<Result[]> => {
    const seen: { last?: Pipeline } = {}
    try {
      return await transact(connection, owner, calls, { signal }, (pipeline) => {
        history.note(owner, calls, pipeline)
        seen.last = pipeline
      })
    } catch (error) {
      if (seen.last?.isBehind !== true || signal?.aborted === true) throw error
    } finally {
      shared.give(connection, calls.length)
    }
    // The connection was lost before the server began with it.
    return apart(owner, calls, { signal }, owner)
  }
  const beside = async (owner: Owner, calls: readonly Call[], signal: AbortSignal | undefined): Promise<Result[]> => {
    if (!pool.mayShare) return apart(owner, calls, { signal }, owner)
    const taken = shared.take(owner.id, calls.length, signal)
    const connection = taken instanceof Promise ? await taken.catch(rethrowForAll) : taken
    const running = besideOthers(connection, owner, calls, signal)
    return signal === undefined ? running : unlessShared(running, connection, signal)
  }
  const ticks = new ReadTicks({ apart, beside }, history)
  const executor: Executor = {
    run: (binding, calls, options = defaults) =>
      pool.isPlain ? apart(binding, calls, options) : ticks.run(binding, calls, options),
    async begin(binding, options = defaults) {
      const connection = await shared.takeApart(options.signal)
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

const rethrowForAll = (error: unknown): never => {
  throw ofAll(error as TenantryError)
}

/** An aborted read is cancelled only where no other one would be: otherwise its answer is not waited for. */
function unlessShared<T>(running: Promise<T>, connection: Connection, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const unlisten = onAbort(signal, () => {
      if (connection.load > 1) reject(aborted())
    })
    running.finally(unlisten).then(resolve, reject)
  })
}
