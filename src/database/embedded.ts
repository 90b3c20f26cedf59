import type { PGlite } from '@electric-sql/pglite'
import { aborted } from '../core/abort.js'
import { PoolTimeoutError, ScopeClosedError, TenantryError, UnavailableError } from '../core/errors.js'
import type { BeginOptions, Binding, Call, Executor, Result, RunOptions, Transaction } from '../core/executor.js'
import { exchange } from './embedded-exchange.js'
import { withDebug } from './error-debug.js'
import { readerSettings } from './pool-config.js'
import { type FactsLookup, isServerError, refusal, wrongNumberOfValues } from './sqlstate.js'
import { guard } from './statement-guard.js'
import { begin, commit, enter, release, rollback, rollbackTo, savepoint, type Step } from './steps.js'

export interface EmbeddedOptions {
  /** Milliseconds to wait for the one connection there is. */
  readonly patience?: number | undefined
  readonly lookup?: FactsLookup | undefined
  /** Whether errors say what the server said: SQLSTATE, position, SQL text, message. */
  readonly debug?: boolean | undefined
}

/**
 * The embedded database: one connection, which serves under the application's role, so that row security is on. For trials,
 * demos and quick tests: nothing here ends a statement that takes too long, and whoever has the process has the data.
 */
export async function openEmbedded(database: PGlite, options: EmbeddedOptions = {}): Promise<Executor> {
  for (const [name, value] of Object.entries(readerSettings)) await database.query(`set ${name} = ${value}`)
  await database.query('set session authorization tenantry_app')
  return new EmbeddedExecutor(database, options)
}

/** Lists every option, so that none is read from a polluted prototype. */
const defaults = { signal: undefined, readOnly: undefined, reenter: undefined, isolation: undefined }

class EmbeddedExecutor implements Executor {
  private readonly turns: Turns
  private closing: Promise<void> | undefined

  constructor(
    private readonly database: PGlite,
    private readonly options: EmbeddedOptions,
  ) {
    this.turns = new Turns(options.patience ?? 5_000)
  }

  async run(
    binding: Binding,
    calls: readonly Call[],
    { signal, readOnly, reenter }: RunOptions = defaults,
  ): Promise<Result[]> {
    const transaction = await this.begin(binding, { signal, readOnly, isolation: undefined })
    try {
      const results = await transaction.run(calls)
      if (reenter) await transaction.run([])
      await transaction.commit()
      return results
    } catch (error) {
      await transaction.rollback()
      throw error
    }
  }

  async begin(binding: Binding, options: BeginOptions = defaults): Promise<Transaction> {
    if (this.closing !== undefined) throw closed()
    if (options.signal?.aborted) throw aborted()
    const end = await this.turns.take()
    return new EmbeddedTransaction(this.database, binding, options, this.options, end)
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
}

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

class EmbeddedTransaction implements Transaction {
  private begun = false
  private ended = false
  private pending: Step[] = []
  private savepoints = 0

  constructor(
    private readonly database: PGlite,
    private readonly binding: Binding,
    private readonly options: BeginOptions,
    private readonly settings: EmbeddedOptions,
    private readonly end: () => void,
  ) {}

  async run(calls: readonly Call[]): Promise<Result[]> {
    for (const { statement } of calls) guard(statement.text)
    await this.enter()
    const results: Result[] = []
    for (const call of calls) results.push(await this.send(call))
    return results
  }

  savepoint(): string {
    const name = `s${++this.savepoints}`
    this.pending.push(savepoint(name))
    return name
  }

  release(name: string): void {
    this.pending.push(release(name))
  }

  rollbackTo(name: string): void {
    this.pending.push(rollbackTo(name))
  }

  async commit(): Promise<void> {
    if (!this.begun) {
      this.finish()
      return
    }
    await this.enter()
    await this.send(commit)
    this.finish()
  }

  async rollback(): Promise<void> {
    if (this.ended) return
    if (this.begun) await this.database.query(rollback.statement.text).catch(() => undefined)
    this.finish()
  }

  /** BEGIN goes out with the first statement. Each statement binds again, so that a moved binding is refused. */
  private async enter(): Promise<void> {
    if (this.ended) throw new ScopeClosedError()
    if (this.options.signal?.aborted) throw aborted()
    if (!this.begun) await this.send(begin(this.options))
    this.begun = true
    for (const step of this.pending.splice(0)) await this.send(step)
    if (this.binding.kind === 'system') await this.send(asSystem)
    for (const step of enter(this.binding)) await this.send(step)
  }

  private async send(call: Call): Promise<Result> {
    try {
      return await exchange(this.database, call)
    } catch (error) {
      if (error instanceof TenantryError) throw error
      if (error instanceof Error && isServerError(error)) {
        const failure = wrongNumberOfValues(error, call) ?? refusal(error, this.settings.lookup)
        throw this.settings.debug === true ? withDebug(failure, error, call.statement.text) : failure
      }
      throw new UnavailableError('the embedded database sent an answer that cannot be read')
    }
  }

  private finish(): void {
    this.ended = true
    this.end()
  }
}

const asSystem: Step = {
  own: true,
  statement: { name: '', text: 'set local session authorization tenantry_system', effect: 'read' },
  values: [],
}
