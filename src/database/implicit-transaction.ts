import { aborted } from '../core/abort.js'
import { TransactionAbortedError, UnsafeStatementError } from '../core/errors.js'
import type { Binding, Call, Result, RunOptions } from '../core/executor.js'
import type { Pipeline, PipelineConnection } from './pipeline.js'
import { failureOf, ofAll } from './outcome.js'
import { type FactsLookup, isForeignBinding } from './sqlstate.js'
import { asked, type Asking, begin, commit, enter, mayChange, rollback, setReadOnly, type Step } from './steps.js'

export interface Dialect {
  /** Whether BEGIN and COMMIT stand around the calls: in an implicit transaction Citus does not forward the binding to its workers. */
  readonly blocks: boolean
  readonly lookup: FactsLookup | undefined
  readonly debug: boolean
  /** The steps that bind the transaction; `enter` by default. */
  readonly bind?: typeof enter
  /** The steps of each call; the call alone by default. */
  readonly ask?: Asking | undefined
  /** Is told of the pipeline whose answer counts. */
  readonly onEnd?: ((pipeline: Pipeline) => void) | undefined
}

/** Sends the binding and all calls in one write. Their transaction, and the binding with it, ends before this resolves. */
export async function runImplicitTransaction(
  connection: PipelineConnection,
  binding: Binding,
  calls: readonly Call[],
  { signal, readOnly, reenter }: RunOptions,
  dialect: Dialect,
): Promise<Result[]> {
  if (signal?.aborted) throw aborted()
  const { blocks, lookup, debug, bind = enter, ask } = dialect
  const bound = bind(binding)
  const inner = [
    ...bound,
    ...(readOnly && !blocks ? [setReadOnly] : []),
    ...(ask === undefined ? calls.map(asked) : calls.flatMap(ask)),
    ...(reenter ? bound : []),
  ]
  const steps = blocks ? [begin({ readOnly, isolation: undefined }), ...inner, commit] : inner
  let pipeline = await attempt(connection, steps, dialect, signal)
  if (connection.forgetStale(pipeline) && !signal?.aborted) {
    pipeline = await attempt(connection, steps, dialect, signal)
  }
  dialect.onEnd?.(pipeline)
  const failure = failureOf(pipeline, {
    lookup,
    signal,
    debug,
    commitsAfter: blocks ? steps.length - 1 : steps.length,
    mayWrite: () => !readOnly && calls.some(mayChange),
  })
  if (failure !== undefined) {
    if (pipeline.error !== undefined && isForeignBinding(pipeline.error)) connection.destroy()
    throw pipeline.status !== undefined && pipeline.steps[pipeline.done]?.own === false ? failure : ofAll(failure)
  }
  if (pipeline.status !== 'I') {
    connection.destroy()
    throw new UnsafeStatementError('a statement left a transaction open; nothing was written')
  }
  if (blocks && pipeline.lastTag !== 'COMMIT') throw new TransactionAbortedError()
  return pipeline.results
}

async function attempt(
  connection: PipelineConnection,
  steps: readonly Step[],
  { blocks, debug }: Dialect,
  signal: AbortSignal | undefined,
): Promise<Pipeline> {
  const pipeline = await connection.send(connection.prepare(steps, debug), signal)
  if (blocks && pipeline.status === 'E') await connection.send(connection.prepare([rollback]))
  return pipeline
}
