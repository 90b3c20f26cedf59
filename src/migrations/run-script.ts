import pg from 'pg'
import type { Session } from '../database/session.js'
import { refuseFilteredRowsInSession } from '../database/row-security.js'
import { withContext, failed } from '../database/session-failure.js'
import { type Bookkeeping, type Direction, recordDone, recordUnfinished } from './bookkeeping.js'
import type { Migration } from './folder.js'
import { hashOfFirst } from './history.js'
import { retriedTransaction } from './lock-retries.js'
import { assertLockHeld } from '../database/session-lock.js'
import type { MigrateOptions } from './progress.js'
import { refreshInventoryWithin } from './inventory-view.js'
import type { Script, Statement } from './script.js'

/** The run of one file, up or down. */
export interface Run {
  readonly session: Session
  readonly set: string
  readonly bookkeeping: Bookkeeping
  readonly searchPath: string | undefined
  readonly migration: Migration
  readonly direction: Direction
  readonly script: Script
  /** The number of statements that an interrupted run of a `-- no-transaction` file has finished. */
  readonly from: number
  readonly options: MigrateOptions
}

/** Runs a file and records it. After an interruption at any point, a second run ends in the same state. */
export async function runScript(run: Run): Promise<void> {
  const { script, set, migration, direction, options } = run
  // Settings that an earlier file left on the connection must not affect this one.
  await ownQueries(run).query('reset all')
  await inSearchPath(run, () =>
    script.transactional ? runWhole(run) : refusingFilteredRows(run, () => runStepwise(run)),
  )
  await options.onProgress?.({ kind: 'finished', set, tag: migration.tag, direction })
}

/** The connection may be used afterwards, so the path is reset. */
async function inSearchPath(run: Run, work: () => Promise<void>): Promise<void> {
  if (run.searchPath === undefined) return work()
  await ownQueries(run).query(`set search_path = ${run.searchPath}`)
  try {
    await work()
  } finally {
    await run.session.query('reset search_path').catch(() => undefined)
  }
}

/** The whole file and its record, in one transaction. */
function runWhole(run: Run): Promise<void> {
  return inTransaction(run, async () => {
    for (const [position, statement] of run.script.statements.entries()) {
      await report(run, position)
      await execute(run, statement, position)
    }
    await report(run, run.script.statements.length)
    await finish(run)
  })
}

/** For statements outside of a transaction. The connection may be used afterwards, so the setting is reset. */
async function refusingFilteredRows(run: Run, work: () => Promise<void>): Promise<void> {
  await ownQueries(run).query(refuseFilteredRowsInSession)
  try {
    await work()
  } finally {
    await run.session.query('reset row_security').catch(() => undefined)
  }
}

/**
 * Runs the statements one by one. A statement that may run in a transaction shares it with its record, so it runs exactly once. Any
 * other is recorded afterwards: its form may be repeated.
 */
async function runStepwise(run: Run): Promise<void> {
  const { script, bookkeeping, direction, migration } = run
  const session = ownQueries(run)
  for (const [position, statement] of script.statements.entries()) {
    if (position < run.from) continue
    await report(run, position)
    const statements = position + 1
    const note = () =>
      recordUnfinished(session, bookkeeping, {
        when: migration.when,
        direction,
        statements,
        hash: hashOfFirst(script, statements),
      })
    if (!statement.alone) {
      await inTransaction(run, async () => {
        await execute(run, statement, position)
        await note()
      })
    } else {
      await dropUnfinishedIndex(session, statement)
      // It waits for older transactions, and no statement queues behind it.
      await session.query('set lock_timeout = 0')
      await execute(run, statement, position)
      await inTransaction(run, note)
    }
  }
  await report(run, script.statements.length)
  await inTransaction(run, () => finish(run))
}

async function finish(run: Run): Promise<void> {
  const session = ownQueries(run)
  await recordDone(session, run.bookkeeping, run.direction, run.migration)
  if (run.direction === 'down') await refreshInventoryWithin(session)
}

/** One transaction, repeated while it does not get its locks. */
async function inTransaction(run: Run, work: () => Promise<void>): Promise<void> {
  const { set, migration, direction } = run
  const session = ownQueries(run)
  const { lockTimeout = 1000, attempts = 10, onProgress } = run.options
  const onRetry = async (attempt: number): Promise<void> =>
    onProgress?.({ kind: 'retrying', set, tag: migration.tag, direction, attempt, of: attempts })
  await retriedTransaction(session, { lockTimeout, attempts, onRetry }, async () => {
    await assertLockHeld(session)
    await work()
  })
}

/** For queries of the migrator itself, as opposed to the file's statements. */
const ownQueries = (run: Run) => withContext(run.session, run.script.file)

async function execute(run: Run, statement: Statement, position: number): Promise<void> {
  if (statement.refers && run.direction === 'up') await run.options.beforeForeignKey?.(ownQueries(run))
  try {
    await run.session.query(statement.text)
  } catch (error) {
    const line = statement.line + linesBefore(statement.text, error)
    throw failed(`${run.script.file}, statement ${position + 1}, line ${line}`, error)
  }
}

/** An interrupted build leaves an index that exists and is not used, and that IF NOT EXISTS would accept. */
async function dropUnfinishedIndex(session: Session, { builds }: Statement): Promise<void> {
  if (builds === undefined) return
  const [invalid] = await session.query<{ schema: string; name: string }>(
    `select namespace.nspname as schema, class.relname as name
     from pg_catalog.pg_index index
     join pg_catalog.pg_class class on class.oid = index.indexrelid
     join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
     where index.indrelid = pg_catalog.to_regclass($1) and not index.indisvalid
       and class.relname = (pg_catalog.parse_ident($2))[1]`,
    [builds.table, builds.index],
  )
  if (invalid === undefined) return
  await session.query(
    `drop index concurrently ${pg.escapeIdentifier(invalid.schema)}.${pg.escapeIdentifier(invalid.name)}`,
  )
}

async function report({ options, set, migration, direction, script }: Run, done: number): Promise<void> {
  await options.onProgress?.({
    kind: 'running',
    set,
    tag: migration.tag,
    direction,
    done,
    of: script.statements.length,
  })
}

/** The number of lines of the statement before the position that the server reported. */
function linesBefore(text: string, error: unknown): number {
  const position = Number((error as { position?: unknown }).position)
  return position > 0 ? text.slice(0, position - 1).split('\n').length - 1 : 0
}
