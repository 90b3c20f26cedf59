import type { PGlite } from '@electric-sql/pglite'
import { aborted } from '../core/abort.js'
import { PoolTimeoutError, ScopeClosedError } from '../core/errors.js'
import type { BeginOptions, Binding, Call, Executor, Result, RunOptions, Transaction } from '../core/executor.js'
import { EmbeddedConnection } from './embedded-connection.js'
import { ExplicitTransaction } from './explicit-transaction.js'
import { type Dialect, runImplicitTransaction } from './implicit-transaction.js'
import { readerSettings } from './pool-config.js'
import type { FactsLookup } from './sqlstate.js'
import { enter, type Step } from './steps.js'

export interface EmbeddedOptions {
  /** Milliseconds to wait for the one connection there is. */
  readonly patience?: number | undefined
  readonly lookup?: FactsLookup | undefined
  /** Whether errors have `debug`: SQLSTATE, position, SQL text, message. */
  readonly debug?: boolean | undefined
}

/**
 * The embedded database: one connection, which serves under the application's role, so that row security is on. For trials,
 * demos and quick tests: nothing here ends a statement that takes too long, and any code in the process can read all data.
 */
export async function openEmbedded(database: PGlite, options: EmbeddedOptions = {}): Promise<Executor> {
  for (const [name, value] of Object.entries(readerSettings)) await database.query(`set ${name} = ${value}`)
  await database.query('set session authorization tenantry_app')
  return new EmbeddedExecutor(database, options)
}

/** Lists every option, so that none is read from a polluted prototype. */
const defaults = { signal: undefined, readOnly: undefined, reenter: undefined, isolation: undefined }

class EmbeddedExecutor implements Executor {
  private readonly connection: EmbeddedConnection
  private readonly turns: Turns
  private readonly dialect: Dialect
  private closing: Promise<void> | undefined

  constructor(
    private readonly database: PGlite,
    { patience = 5_000, lookup, debug = false }: EmbeddedOptions,
  ) {
    this.connection = new EmbeddedConnection(database)
    this.turns = new Turns(patience)
    this.dialect = { blocks: true, lookup, debug, bind }
  }

  async run(binding: Binding, calls: readonly Call[], options: RunOptions = defaults): Promise<Result[]> {
    const give = await this.take(options.signal)
    try {
      return await runImplicitTransaction(this.connection, binding, calls, options, this.dialect)
    } finally {
      give()
    }
  }

  async begin(binding: Binding, options: BeginOptions = defaults): Promise<Transaction> {
    const onEnd = await this.take(options.signal)
    return new ExplicitTransaction(this.connection, binding, { ...options, ...this.dialect, onEnd })
  }

  async ping(): Promise<void> {
    await this.run({ kind: 'system', about: undefined }, [])
  }

  close(): Promise<void> {
    this.closing ??= this.turns.take().then(
      () => this.database.close(),
      () => this.database.close(),
    )
    return this.closing
  }

  /** Resolves, when it is the caller's turn, to the function that ends the turn. */
  private async take(signal: AbortSignal | undefined): Promise<() => void> {
    if (this.closing !== undefined) throw closed()
    if (signal?.aborted) throw aborted()
    const end = await this.turns.take()
    return () => {
      void this.connection.reset().finally(end)
    }
  }
}

/** There is only one session, so the system takes its role in each transaction. */
const bind = (binding: Binding): Step[] => (binding.kind === 'system' ? [asSystem] : enter(binding))

const closed = () => new ScopeClosedError('the tenancy was closed; nothing was sent')

/** Gives the one connection to one caller at a time, and throws after a while: PGlite itself would wait for ever. */
class Turns {
  private last: Promise<void> = Promise.resolve()

  constructor(private readonly patience: number) {}

  async take(): Promise<() => void> {
    const earlier = this.last
    let end: () => void = () => undefined
    const mine = new Promise<void>((resolve) => (end = resolve))
    this.last = earlier.then(() => mine)
    let timer: NodeJS.Timeout | undefined
    const tired = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new PoolTimeoutError())
      }, this.patience)
    })
    try {
      await Promise.race([earlier, tired])
      return end
    } catch (error) {
      end()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

const asSystem: Step = {
  own: true,
  statement: { name: '', text: 'set local session authorization tenantry_system', effect: 'read' },
  values: [],
}
