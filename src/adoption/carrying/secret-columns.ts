import { DecryptError, MigrationError } from '../../core/errors.js'
import type { DataKey, DataKeys } from '../../core/sealing.js'
import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import { placeholderIn } from './placeholder.js'
import { type CarriedTable, isOneOf, isSame, mapped } from './carried-table.js'

/** The secrets of one row: in clear in the earlier table, sealed in ours. */
export interface SecretRow {
  readonly key: string
  readonly orgId: string
  readonly clear: readonly (string | null)[]
  readonly sealed: readonly (Uint8Array | null)[]
  /** What stands in the place of each secret in clear once it is emptied. */
  readonly empty: readonly (string | null)[]
  /** Whether ours still has the row. */
  readonly isThere: boolean
}

class ShreddedError extends DecryptError {}

/** The secrets of one table. */
export class SecretColumns {
  private readonly keys = new Map<string, DataKey>()

  constructor(
    private readonly session: Session,
    private readonly table: CarriedTable,
    private readonly dataKeys: DataKeys,
  ) {}

  /** The sealed values of rows, for each column in the order of the keys. Null where the row is not carried, or has no secret. */
  async sealedOf(
    keys: readonly string[],
  ): Promise<{ readonly name: string; readonly values: readonly (Uint8Array | null)[] }[]> {
    const { table } = this
    if (table.sealed.length === 0) return []
    const rows = await this.session.query<{ key: string; orgId: string; isThere: boolean; clear: (string | null)[] }>(
      `select m.key, m.org_id as "orgId", exists (select from platform.organizations o where o.id = m.org_id) as "isThere", ${clearOf(table)} as clear
       from (${mapped(table, isOneOf(table))}) m join ${table.source} c on c.${quoted(table.key.name)} = m.key::${table.key.type}`,
      [keys],
    )
    const active = await this.activeKeys(rows.map(({ orgId }) => orgId))
    const byKey = new Map(rows.map((row) => [row.key, row]))
    return table.sealed.map(({ name }, place) => ({
      name,
      values: keys.map((key) => {
        const row = byKey.get(key)
        const text = row?.clear[place] ?? null
        // A row of an organization that is not carried is refused by its foreign key.
        if (row === undefined || text === null || !row.isThere) return null
        const dataKey = active.get(row.orgId)
        if (dataKey === undefined)
          throw new MigrationError('an organization has no key for its sealed columns: run tenantry keys ensure')
        return this.dataKeys.seal(dataKey, this.place(row.orgId, name, key), text)
      }),
    }))
  }

  /** Goes over the rows with secrets that do not stay, in the order of their keys. `only` is a condition of a row `m`. */
  async *all(home: string, only = 'true'): AsyncGenerator<readonly SecretRow[]> {
    const { key, source, target, sealed } = this.table
    const column = `s.${quoted(key.name)}`
    // By a range of keys that is read first, so that the joins are to these rows alone.
    const range = `($1::text is null or ${column} > $1::text::${key.type}) and ${column} <= $2::text::${key.type}`
    for (let last: string | null = null; ;) {
      const [end]: readonly { readonly key: string | null }[] = await this.session.query<{ key: string | null }>(
        `select (pg_catalog.array_agg(n.key))[pg_catalog.count(*)] as key from (select ${column}::text as key from ${source} s
         where $1::text is null or ${column} > $1::text::${key.type} order by ${column} limit ${batch}) n`,
        [last],
      )
      const until: string | null = end?.key ?? null
      if (until === null) return
      yield await this.session.query<SecretRow>(
        `select m.key, m.org_id as "orgId", ${clearOf(this.table)} as clear, t.id is not null as "isThere",
           ${emptyOf(this.table)} as empty, array[${sealed.map(({ name }) => `t.${quoted(name)}`).join(', ')}] as sealed
         from (${mapped(this.table, range, home)}) m join ${source} c on c.${quoted(key.name)} = m.key::${key.type} left join ${target} t on ${isSame(this.table)}
         where ${only}`,
        [last, until],
      )
      last = until
    }
  }

  /** The texts of a row's sealed columns. `shredded` where the key of its organization was destroyed, and undefined where one does not open. */
  async open({ orgId, key, sealed }: SecretRow): Promise<readonly (string | null)[] | 'shredded' | undefined> {
    const texts: (string | null)[] = []
    try {
      for (const [place, { name }] of this.table.sealed.entries()) {
        const value = sealed[place] ?? null
        texts.push(value === null ? null : await this.text(orgId, name, key, value))
      }
      return texts
    } catch (error) {
      if (error instanceof ShreddedError) return 'shredded'
      if (error instanceof DecryptError) return undefined
      throw error
    }
  }

  private async text(orgId: string, column: string, key: string, sealed: Uint8Array): Promise<string> {
    const keyId = this.dataKeys.keyIdOf(sealed)
    const dataKey = this.keys.get(keyId) ?? (await this.keyOf(orgId, keyId))
    this.keys.set(keyId, dataKey)
    return this.dataKeys.open(dataKey, this.place(orgId, column, key), sealed)
  }

  private place(orgId: string, column: string, rowId: string) {
    return { orgId, column: `platform.${this.table.to}.${column}`, rowId }
  }

  private async activeKeys(ids: readonly string[]): Promise<ReadonlyMap<string, DataKey>> {
    const rows = await this.session.query<StoredKey>(
      `select k.org_id as "orgId", k.id, k.kek_id as "masterKeyId", k.wrapped from platform.org_keys k
       where k.org_id = any ($1::uuid[]) and k.state = 'active'`,
      [[...new Set(ids)]],
    )
    return new Map(await Promise.all(rows.map(async (row) => [row.orgId, await this.unwrap(row)] as const)))
  }

  private async keyOf(orgId: string, keyId: string): Promise<DataKey> {
    const [row] = await this.session.query<StoredKey & { readonly isThere: boolean }>(
      `select k.org_id as "orgId", k.id, k.kek_id as "masterKeyId", k.wrapped, k.wrapped is not null as "isThere" from platform.org_keys k
       where k.org_id = $1 and k.id = $2`,
      [orgId, keyId],
    )
    if (row === undefined) throw new DecryptError('its key is not one of this organization')
    if (!row.isThere) throw new ShreddedError('its key is destroyed')
    return this.unwrap(row)
  }

  private unwrap({ orgId, id: keyId, masterKeyId, wrapped }: StoredKey): Promise<DataKey> {
    return this.dataKeys.unwrap({ masterKeyId, wrapped }, { orgId, keyId })
  }
}

const batch = 500

const clearOf = ({ sealed }: CarriedTable): string =>
  `array[${sealed.map(({ from }) => `c.${quoted(from)}::text`).join(', ')}]`

const emptyOf = ({ sealed, from, key }: CarriedTable): string =>
  `array[${sealed
    .map(({ from: column }) => {
      const value = `c.${quoted(column)}`
      return `case when ${value} is not null then ${placeholderIn(from, column, `c.${quoted(key.name)}`) ?? 'null'} end`
    })
    .join(', ')}]::text[]`

interface StoredKey {
  readonly orgId: string
  readonly id: string
  readonly masterKeyId: string
  readonly wrapped: Uint8Array
}
