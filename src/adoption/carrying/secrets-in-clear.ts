import { MigrationError } from '../../core/errors.js'
import { quoted } from '../../core/statements/column-plan.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { retriedStatement } from '../../migrations/lock-retries.js'
import { assertMaySilence, silence } from '../silence.js'
import { inHome } from '../home.js'
import type { CarriedTable } from './carried-table.js'
import { rootsOf } from './carrying-home.js'
import type { Carrying } from './carrying.js'
import { carryingRetries, carryingTransaction } from './carrying-transaction.js'
import { awaitOlderTransactions } from './older-transactions.js'
import { rewriteStatistics } from './old-statistics.js'
import { placeholderIn } from './placeholder.js'
import { SecretColumns, type SecretRow } from './secret-columns.js'

/** Checks what `contract` needs: to silence triggers, and to write the tables with secrets anew. */
export async function assertMayEmpty({ session, tables }: Carrying): Promise<void> {
  const secret = withSecrets(tables)
  for (const { from } of secret)
    if (from.triggers.some(({ isNeverSilent }) => isNeverSilent))
      throw new MigrationError(
        `${from.name} has a trigger that fires even in sessions that silence triggers: make it an ordinary one with \`alter table … enable trigger\``,
      )
  await assertMaySilence(
    session,
    secret.map(({ from }) => from.name),
  )
  if (secret.length > 0 && (await keepsOldVersions(session)))
    throw new MigrationError(
      'the server keeps old versions of rows, and so the secrets, for vacuum_defer_cleanup_age: set it to 0 and reload the configuration',
    )
  const foreign = await foreignTables(session, tables)
  if (foreign.length > 0)
    throw new MigrationError(
      `${foreign.join(', ')} must be written anew, which only the owner may: connect as a member of that role`,
    )
}

/** Up to Postgres 15, a server may keep old versions longer than anybody can see them. */
async function keepsOldVersions(session: Session): Promise<boolean> {
  const [row] = await session.query<{ age: string | null }>(
    `select pg_catalog.current_setting('vacuum_defer_cleanup_age', true) as age`,
  )
  return Number(row?.age ?? 0) > 0
}

/** The tables with secrets that this login does not own: `vacuum full` would pass over them with a warning. */
export async function foreignTables(session: Session, tables: readonly CarriedTable[]): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    `select distinct c.relname || ' of ' || c.relowner::pg_catalog.regrole::text as name from pg_catalog.pg_class c
     where c.oid = any ($1::text[]::pg_catalog.regclass[]) and not pg_catalog.pg_has_role(current_user, c.relowner, 'usage') order by 1`,
    [withSecrets(tables).map(({ source }) => source)],
  )
  return rows.map(({ name }) => name)
}

const withSecrets = (tables: readonly CarriedTable[]) => tables.filter(({ sealed }) => sealed.length > 0)

export interface EmptiedSecrets {
  readonly table: string
  readonly emptied: number
  /** Rows that stay in the earlier table, and keep their secrets in clear. */
  readonly inClear: number
}

/** Refuses to empty anything while a carried organization is missing, or a sealed secret does not open. */
export async function assertSealed(carrying: Carrying): Promise<void> {
  const { session, home, tables, dataKeys } = carrying
  await assertOrganizations(carrying)
  for (const table of withSecrets(tables)) {
    const secrets = new SecretColumns(session, table, dataKeys)
    for await (const rows of secrets.all(home))
      for (const row of rows)
        if ((await secrets.open(row)) === undefined)
          throw new MigrationError(
            `a secret of ${table.to} does not open, so nothing was emptied: set TENANTRY_KEYS to the keys that it was sealed with`,
          )
  }
}

/**
 * Empties the secrets in clear. The swap has proved that each was sealed; one that was changed in tenantry since, or of a row that was deleted
 * there, is emptied too. A second run skips rows that are already empty.
 */
export async function emptySecrets({ session, home, tables, dataKeys }: Carrying): Promise<EmptiedSecrets[]> {
  const done: EmptiedSecrets[] = []
  for (const table of withSecrets(tables)) {
    const secrets = new SecretColumns(session, table, dataKeys)
    let emptied = 0
    for await (const rows of secrets.all(home)) {
      const full = rows.filter(({ clear, empty }) => clear.some((_, place) => clear[place] !== empty[place]))
      await write(
        session,
        table,
        full,
        table.sealed.map((_, place) => full.map(({ empty }) => empty[place] ?? null)),
      )
      emptied += full.length
    }
    done.push({ table: table.from.name, emptied, inClear: await countInClear(session, table) })
  }
  return done
}

/** Tenantry never removes an organization for good: where one is gone, so are the sealed secrets, as after `migrate down`. */
async function assertOrganizations({ session, home }: Carrying): Promise<void> {
  const [row] = await session.query<{ gone: number }>(
    `select pg_catalog.count(*)::float8 as gone from (${rootsOf(home, 'organizations')}) c
     where not exists (select from platform.organizations t where t.id = c.id)`,
  )
  if (row === undefined || row.gone === 0) return
  throw new MigrationError(
    `organizations that were carried are not in tenantry any more: ${row.gone}. Only the earlier tables have their secrets, so nothing was emptied: ` +
      `restore them in tenantry, or, if somebody removed them on purpose, delete their ids from ${inHome(home, 'roots')}`,
  )
}

/** Counts the secrets of tables that were not carried. */
export async function keptInClear(session: Session, tables: readonly CarriedTable[]): Promise<EmptiedSecrets[]> {
  const kept: EmptiedSecrets[] = []
  for (const { source, from, sealed } of withSecrets(tables)) {
    const [row] = await session.query<{ rows: number }>(
      `select pg_catalog.count(*)::float8 as rows from ${source} c where ${sealed.map((column) => `c.${quoted(column.from)} is not null`).join(' or ')}`,
    )
    kept.push({ table: from.name, emptied: 0, inClear: row?.rows ?? 0 })
  }
  return kept
}

async function countInClear(session: Session, { from, source, key, sealed }: CarriedTable): Promise<number> {
  const isClear = sealed.map(({ from: column }) => {
    const word = placeholderIn(from, column, `c.${quoted(key.name)}`)
    const value = `c.${quoted(column)}`
    return word === undefined ? `${value} is not null` : `${value}::text <> ${word}`
  })
  const [row] = await session.query<{ rows: number }>(
    `select pg_catalog.count(*)::float8 as rows from ${source} c where ${isClear.join(' or ')}`,
  )
  return row?.rows ?? 0
}

/** Writes the secrets in clear again, as they are sealed now. Nothing is written where one does not open. */
export async function restoreSecrets({ session, home, tables, dataKeys }: Carrying): Promise<void> {
  for (const isWriting of [false, true]) {
    for (const table of withSecrets(tables)) {
      const secrets = new SecretColumns(session, table, dataKeys)
      for await (const rows of secrets.all(home, 't.id is not null')) {
        const clear: { readonly row: SecretRow; readonly texts: readonly (string | null)[] }[] = []
        for (const row of rows) {
          const texts = await secrets.open(row)
          // What was shredded is gone.
          if (texts === 'shredded') continue
          if (texts === undefined)
            throw new MigrationError(
              `a secret of ${table.to} does not open, so that none was written in clear again: set TENANTRY_KEYS to the keys that it was sealed with`,
            )
          clear.push({ row, texts })
        }
        if (isWriting)
          await write(
            session,
            table,
            clear.map(({ row }) => row),
            table.sealed.map((_, place) => clear.map(({ texts }) => texts[place] ?? null)),
          )
      }
    }
  }
}

/** For each sealed column a list of values, in the order of the rows. */
async function write(
  session: Session,
  table: CarriedTable,
  rows: readonly SecretRow[],
  values: readonly (readonly (string | null)[])[],
): Promise<void> {
  if (rows.length === 0) return
  const { source, key, sealed, from } = table
  const set = sealed.map(({ from: column }, place) => {
    const { type = 'text', isNullable = true } = from.columns.find(({ name }) => name === column) ?? {}
    // A cast would cut a text that is too long; the assignment refuses it.
    const value = type.startsWith('character') ? `v.c${place}` : `v.c${place}::${type}`
    // Where there is no secret any more, the word that took its place stays in a column without null.
    return `${quoted(column)} = ${isNullable ? value : `coalesce(${value}, t.${quoted(column)})`}`
  })
  const texts = values.map((_, place) => `pg_catalog.unnest($${place + 2}::text[])`)
  await carryingTransaction(session, `the secrets of ${from.name}`, async () => {
    // The trigger that closes the table, and any that sets `updated_at`, stay silent.
    await session.query(silence)
    await session.query(
      `update ${source} t set ${set.join(', ')} from rows from (pg_catalog.unnest($1::text[]), ${texts.join(', ')})
       v(key, ${values.map((_, place) => `c${place}`).join(', ')}) where t.${quoted(key.name)} = v.key::${key.type}`,
      [rows.map((row) => row.key), ...values],
    )
  })
}

export interface Rewritten {
  /** The columns of which the statistics of the server still hold a secret. */
  readonly statistics: readonly string[]
  /** The statements that remove old versions of statistics, where this login may not run them. */
  readonly oldStatistics: readonly string[]
}

/**
 * Old versions of rows stay in the files of a table until it is written anew, and their values in its statistics until it is analysed. Old
 * versions of statistics stay in the catalog in the same way.
 */
export async function rewriteTables({ session, tables }: Carrying): Promise<Rewritten> {
  await awaitOlderTransactions(session, carryingRetries)
  for (const { source, from } of withSecrets(tables)) {
    const where = `writing ${from.name} anew, which goes on with tenantry adopt platform contract`
    await retriedStatement(withContext(session, where), carryingRetries, `vacuum (full, analyze) ${source}`)
  }
  const oldStatistics = withSecrets(tables).length === 0 ? [] : await rewriteStatistics(session)
  const statistics: string[] = []
  for (const { source, from, sealed } of withSecrets(tables)) {
    const rows = await withContext(session, 'the statistics').query<{ column: string }>(
      `select s.attname as column from pg_catalog.pg_stats s join pg_catalog.pg_class c on c.oid = $1::pg_catalog.regclass and c.relname = s.tablename
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = s.schemaname
       where s.attname = any ($2::text[]) and exists (
         select from pg_catalog.unnest(s.most_common_vals::text::text[] || s.histogram_bounds::text::text[]) v where not pg_catalog.starts_with(v, 'sealed '))`,
      [source, sealed.map((column) => column.from)],
    )
    statistics.push(...rows.map(({ column }) => `${from.name}.${column}`))
  }
  return { statistics, oldStatistics }
}
