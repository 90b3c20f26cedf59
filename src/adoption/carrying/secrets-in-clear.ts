import { DecryptError, MigrationError } from '../../core/errors.js'
import { quoted } from '../../core/statements/column-plan.js'
import { type Session } from '../../database/session.js'
import type { CarriedTable } from './carried-table.js'
import type { Carrying } from './carry.js'
import { carryingTransaction } from './carrying-transaction.js'
import { isSealedWhole, secretRows } from './compare.js'
import { SecretColumns } from './secret-columns.js'

/** Stands in the place of a secret where the column takes no null. */
const placeholder = 'sealed'

const withSecrets = (tables: readonly CarriedTable[]) => tables.filter(({ sealed }) => sealed.length > 0)

/** No trigger of the table fires, such as one that sets `updated_at`. */
const silence = 'set local session_replication_role = replica'

/**
 * Empties the secrets in clear, batch by batch: each row only after its sealed values were opened and found equal. Going on after an
 * interruption passes over what is empty.
 */
export async function emptySecrets({
  session,
  tables,
  dataKeys,
}: Carrying): Promise<{ table: string; emptied: number }[]> {
  const done: { table: string; emptied: number }[] = []
  for (const table of withSecrets(tables)) {
    const secrets = new SecretColumns(session, table, dataKeys)
    let emptied = 0
    for await (const rows of secretRows(session, table)) {
      const full = rows.filter((row) => !isEmptied(table, row.clear, row.sealed))
      for (const row of full)
        if (!(await isSealedWhole(secrets, table, row)))
          throw new MigrationError(
            `${table.from.name} has a row with a secret that is not the sealed one: nothing of it was emptied. Run tenantry adopt platform prove to count them`,
          )
      emptied += await write(
        session,
        table,
        full.map(({ key }) => key),
        table.sealed.map(() => full.map(() => null)),
      )
    }
    done.push({ table: table.from.name, emptied })
  }
  return done
}

const isEmptied = (
  table: CarriedTable,
  clear: readonly (string | null)[],
  sealed: readonly (Uint8Array | null)[],
): boolean =>
  table.sealed.every(({ from }, place) => {
    const isNullable = table.from.columns.find(({ name }) => name === from)?.isNullable === true
    return sealed[place] === null ? clear[place] === null : clear[place] === (isNullable ? null : placeholder)
  })

/** Writes the secrets in clear again, as they are sealed now. Nothing is written where one does not open. */
export async function restoreSecrets({ session, tables, dataKeys }: Carrying): Promise<void> {
  for (const isWriting of [false, true]) {
    for (const table of withSecrets(tables)) {
      const secrets = new SecretColumns(session, table, dataKeys)
      for await (const rows of secretRows(session, table)) {
        const clear: (string | null)[][] = []
        for (const [place, { name }] of table.sealed.entries()) {
          const texts: (string | null)[] = []
          for (const { orgId, key, sealed } of rows) {
            const value = sealed[place] ?? null
            texts.push(value === null ? null : await opened(secrets, table, orgId, name, key, value))
          }
          clear.push(texts)
        }
        if (isWriting)
          await write(
            session,
            table,
            rows.map(({ key }) => key),
            clear,
          )
      }
    }
  }
}

async function opened(
  secrets: SecretColumns,
  table: CarriedTable,
  orgId: string,
  column: string,
  key: string,
  sealed: Uint8Array,
): Promise<string> {
  try {
    return await secrets.open(orgId, column, key, sealed)
  } catch (error) {
    if (!(error instanceof DecryptError)) throw error
    throw new MigrationError(
      `a secret of ${table.to} does not open, so that it cannot be written in clear again: set TENANTRY_KEYS to the keys that it was sealed with`,
    )
  }
}

/** For each sealed column a list of values, in the order of the keys. A null becomes the placeholder where the column takes none. */
async function write(
  session: Session,
  table: CarriedTable,
  keys: readonly string[],
  values: readonly (readonly (string | null)[])[],
): Promise<number> {
  if (keys.length === 0) return 0
  const { source, key, sealed, from } = table
  const set = sealed.map(({ from: column }, place) => {
    const { type = 'text', isNullable = true } = from.columns.find(({ name }) => name === column) ?? {}
    const value = isNullable ? `v.c${place}` : `coalesce(v.c${place}, '${placeholder}')`
    return `${quoted(column)} = ${value}::${type}`
  })
  return carryingTransaction(session, `the secrets of ${from.name}`, async () => {
    await session.query(silence)
    await session.query(
      `update ${source} t set ${set.join(', ')} from rows from (pg_catalog.unnest($1::text[]), ${values
        .map((_, place) => `pg_catalog.unnest($${place + 2}::text[])`)
        .join(
          ', ',
        )}) v(key, ${values.map((_, place) => `c${place}`).join(', ')}) where t.${quoted(key.name)} = v.key::${key.type}`,
      [keys, ...values],
    )
    return keys.length
  })
}

/** Old versions of rows stay in the files of a table until it is written anew. */
export async function rewriteTables({ session, tables }: Carrying): Promise<void> {
  if (session.engine === 'pglite') return
  for (const { source } of withSecrets(tables)) await session.query(`vacuum (full) ${source}`)
}
