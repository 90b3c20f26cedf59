import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { MigrationError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import { refuseFilteredRows, refuseFilteredRowsInSession } from '../database/row-security.js'
import { withContext, failed, LockNotFree } from '../database/session-failure.js'
import { type Bookkeeping, type Direction, recordDone, recordUnfinished } from './bookkeeping.js'
import type { Migration } from './folder.js'
import { hashOfFirst } from './history.js'
import { assertLockHeld } from '../database/session-lock.js'
import type { MigrateOptions } from './progress.js'
import { recordTakenBack } from './recorded.js'
import type { Script, Statement } from './script.js'

/** One file on its way, up or down. */
export interface Run {
  readonly session: Session
  readonly set: string
  readonly bookkeeping: Bookkeeping
  readonly migration: Migration
  readonly direction: Direction
  readonly script: Script
  /** How many statements an interrupted run of a `-- no-transaction` file has left behind. */
  readonly from: number
  readonly options: MigrateOptions
}

/** Runs a file and records it. After an interruption at any point, running it again ends in the same state. */
export async function runScript(run: Run): Promise<void> {
  const { script, set, migration, direction, options } = run
  // A setting that an earlier file left on the connection must not decide what this one does.
  await ownQueries(run).query('reset all')
  await (script.transactional ? runWhole(run) : refusingFilteredRows(run, () => runStepwise(run)))
  await options.onProgress?.({ kind: 'finished', set, tag: migration.tag, direction })
}

/** All of the file and its record, in one transaction. */
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

/** The statements that run outside of a transaction. The connection may serve afterwards, so the setting does not stay. */
async function refusingFilteredRows(run: Run, work: () => Promise<void>): Promise<void> {
  await ownQueries(run).query(refuseFilteredRowsInSession)
  try {
    await work()
  } finally {
    await run.session.query('reset row_security').catch(() => undefined)
  }
}

/**
 * One by one. A statement that may run in a transaction shares it with the note that it ran, so it runs exactly once. One that may
 * not is noted afterwards: it is of a form that may be repeated.
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
      // It waits for older transactions, and nobody queues behind it.
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
  if (run.direction === 'down') await recordTakenBack(session)
}

/** Steps back when a lock is not free in time, so that those who queued behind it can pass, and tries again. */
async function inTransaction(run: Run, work: () => Promise<void>): Promise<void> {
  const { set, migration, direction } = run
  const session = ownQueries(run)
  const { lockTimeout = 1000, attempts = 10, onProgress } = run.options
  for (let attempt = 1; ; attempt += 1) {
    try {
      await session.query('begin')
      await session.query(refuseFilteredRows)
      await session.query(`set local lock_timeout = ${Math.max(1, Math.trunc(lockTimeout))}`)
      await assertLockHeld(session)
      await work()
      await session.query('commit')
      return
    } catch (error) {
      await session.query('rollback').catch(() => undefined)
      if (!(error instanceof LockNotFree)) throw error
      if (attempt >= attempts) {
        throw new MigrationError(
          `${error.message}. Given up after ${attempts} attempts; a long transaction is in the way`,
        )
      }
      await onProgress?.({ kind: 'retrying', set, tag: migration.tag, direction, attempt, of: attempts })
      await pause(lockTimeout * Math.min(2 ** (attempt - 1), 8) * (0.75 + Math.random() / 2))
    }
  }
}

/** What the migrator sends on its own account, beside the file's statements. */
const ownQueries = (run: Run) => withContext(run.session, run.script.file)

async function execute(run: Run, statement: Statement, position: number): Promise<void> {
  try {
    await run.session.query(statement.text)
  } catch (error) {
    const line = statement.line + linesBefore(statement.text, error)
    throw failed(`${run.script.file}, statement ${position + 1}, line ${line}`, error)
  }
}

/** A build that was interrupted leaves an index that exists, is not used, and would satisfy IF NOT EXISTS. */
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

/** Where in a statement of several lines the server found the fault. */
function linesBefore(text: string, error: unknown): number {
  const position = Number((error as { position?: unknown }).position)
  return position > 0 ? text.slice(0, position - 1).split('\n').length - 1 : 0
}
