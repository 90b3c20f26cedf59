import { MigrationError } from '../../core/errors.js'
import { quoted } from '../../core/statements/column-plan.js'
import { failed } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { silence } from '../silence.js'
import type { CarriedTable } from './carried-table.js'
import type { Carrying } from './carrying.js'
import { isLeft } from './carrying-home.js'
import { carryingTransaction } from './carrying-transaction.js'
import { SecretColumns, type SecretRow } from './secret-columns.js'

const withSecrets = (tables: readonly CarriedTable[]) => tables.filter(({ sealed }) => sealed.length > 0)

export interface EmptiedSecrets {
  readonly table: string
  readonly emptied: number
  /** Rows that stay in the earlier table, and keep their secrets in clear. */
  readonly inClear: number
}

/**
 * Empties the secrets in clear. The swap has proved that each was sealed; one that was changed in tenantry since, or of a row that was deleted
 * there, is emptied too. Before the first is emptied, every sealed value is opened. Going on after an interruption passes over what is empty.
 */
export async function emptySecrets({ session, home, tables, dataKeys }: Carrying): Promise<EmptiedSecrets[]> {
  // A row that tenantry has refused has its secrets in clear alone.
  const isCarried = ({ name }: CarriedTable) => `not ${isLeft(home, name, 'm.key')}`
  for (const table of withSecrets(tables)) {
    const secrets = new SecretColumns(session, table, dataKeys)
    for await (const rows of secrets.all(isCarried(table)))
      for (const row of rows)
        if ((await secrets.open(row)) === undefined)
          throw new MigrationError(
            `a secret of ${table.to} does not open, so nothing was emptied: set TENANTRY_KEYS to the keys that it was sealed with`,
          )
  }
  const done: EmptiedSecrets[] = []
  for (const table of withSecrets(tables)) {
    const secrets = new SecretColumns(session, table, dataKeys)
    let emptied = 0
    for await (const rows of secrets.all(isCarried(table))) {
      const full = rows.filter((row) => row.clear.some((_, place) => row.clear[place] !== emptyText(table, row, place)))
      await write(
        session,
        table,
        full,
        table.sealed.map((_, place) => full.map((row) => emptyText(table, row, place))),
      )
      emptied += full.length
    }
    done.push({ table: table.from.name, emptied, inClear: await countInClear(session, table) })
  }
  return done
}

/** What stands in the place of a secret: nothing, or where the column takes no null, a word that is unique. */
function emptyText(table: CarriedTable, { key, clear }: SecretRow, place: number): string | null {
  if (clear[place] === null) return null
  const column = table.sealed[place]?.from
  const isNullable = table.from.columns.find(({ name }) => name === column)?.isNullable === true
  return isNullable ? null : placeholderOf(key)
}

const placeholderOf = (key: string): string => `sealed ${key}`

async function countInClear(session: Session, { source, key, sealed }: CarriedTable): Promise<number> {
  const isClear = sealed.map(
    ({ from }) =>
      `(c.${quoted(from)} is not null and c.${quoted(from)}::text <> 'sealed ' || c.${quoted(key.name)}::text)`,
  )
  const [row] = await session.query<{ rows: number }>(
    `select pg_catalog.count(*)::float8 as rows from ${source} c where ${isClear.join(' or ')}`,
  )
  return row?.rows ?? 0
}

/** Writes the secrets in clear again, as they are sealed now. Nothing is written where one does not open. */
export async function restoreSecrets({ session, tables, dataKeys }: Carrying): Promise<void> {
  for (const isWriting of [false, true]) {
    for (const table of withSecrets(tables)) {
      const secrets = new SecretColumns(session, table, dataKeys)
      for await (const rows of secrets.all('t.id is not null')) {
        const clear: (readonly (string | null)[])[] = []
        for (const row of rows) {
          const texts = await secrets.open(row)
          if (texts === undefined)
            throw new MigrationError(
              `a secret of ${table.to} does not open, so that none was written in clear again: set TENANTRY_KEYS to the keys that it was sealed with`,
            )
          clear.push(texts)
        }
        if (isWriting)
          await write(
            session,
            table,
            rows,
            table.sealed.map((_, place) => clear.map((texts) => texts[place] ?? null)),
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
    const value = isNullable ? `v.c${place}` : `coalesce(v.c${place}, 'sealed ' || v.key)`
    return `${quoted(column)} = (${value})::${type}`
  })
  const texts = values.map((_, place) => `pg_catalog.unnest($${place + 2}::text[])`)
  await carryingTransaction(session, `the secrets of ${from.name}`, async () => {
    // Of the trigger that closes the table, and of one that sets `updated_at`.
    await session.query(silence)
    await session.query(
      `update ${source} t set ${set.join(', ')} from rows from (pg_catalog.unnest($1::text[]), ${texts.join(', ')})
       v(key, ${values.map((_, place) => `c${place}`).join(', ')}) where t.${quoted(key.name)} = v.key::${key.type}`,
      [rows.map((row) => row.key), ...values],
    )
  })
}

/** Old versions of rows stay in the files of a table until it is written anew, and their values in its statistics until it is analysed. */
export async function rewriteTables({ session, tables }: Carrying): Promise<void> {
  // Others wait behind a lock that is waited for.
  await session.query(`set lock_timeout = '5s'`)
  try {
    for (const { source } of withSecrets(tables)) await session.query(`vacuum (full, analyze) ${source}`)
  } catch (error) {
    throw failed('writing the tables anew', error)
  } finally {
    await session.query('reset lock_timeout')
  }
}
