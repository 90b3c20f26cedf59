import { DecryptError } from '../../core/errors.js'
import type { DataKey, DataKeys } from '../../core/sealing.js'
import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import { type CarriedTable, mapped } from './carried-table.js'

/** The secrets of one table: in clear in the earlier one, sealed in ours. */
export class SecretColumns {
  private readonly keys = new Map<string, DataKey>()

  constructor(
    private readonly session: Session,
    private readonly table: CarriedTable,
    private readonly dataKeys: DataKeys,
  ) {}

  /** The sealed values of rows, for each column in the order of the keys. */
  async sealedOf(
    keys: readonly string[],
  ): Promise<{ readonly name: string; readonly values: readonly (Uint8Array | null)[] }[]> {
    const { table } = this
    if (table.sealed.length === 0) return []
    const rows = await this.session.query<Record<string, string | null> & { key: string; org_id: string }>(
      `select m.key, m.org_id, ${table.sealed.map(({ from }) => `c.${quoted(from)}::text as ${quoted(`clear ${from}`)}`).join(', ')}
       from (${mapped(table, `s.${quoted(table.key.name)} = any ($1::text[]::${table.key.type}[])`)}) m
       join ${table.source} c on c.${quoted(table.key.name)}::text = m.key`,
      [keys],
    )
    const active = await this.activeKeys(rows.map(({ org_id }) => org_id))
    const byKey = new Map(rows.map((row) => [row.key, row]))
    return table.sealed.map(({ name, from }) => ({
      name,
      values: keys.map((key) => {
        const row = byKey.get(key)
        const text = row?.[`clear ${from}`]
        const dataKey = row && active.get(row.org_id)
        if (row === undefined || dataKey === undefined || text === null || text === undefined) return null
        return this.dataKeys.seal(dataKey, this.place(row.org_id, name, key), text)
      }),
    }))
  }

  /** The text of a cell. Throws DecryptError. */
  async open(orgId: string, column: string, key: string, sealed: Uint8Array): Promise<string> {
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
    const [row] = await this.session.query<StoredKey>(
      `select k.org_id as "orgId", k.id, k.kek_id as "masterKeyId", k.wrapped from platform.org_keys k
       where k.org_id = $1 and k.id = $2 and k.wrapped is not null`,
      [orgId, keyId],
    )
    if (row === undefined) throw new DecryptError('its key is destroyed, or is not one of this organization')
    return this.unwrap(row)
  }

  private unwrap({ orgId, id: keyId, masterKeyId, wrapped }: StoredKey): Promise<DataKey> {
    return this.dataKeys.unwrap({ masterKeyId, wrapped }, { orgId, keyId })
  }
}

interface StoredKey {
  readonly orgId: string
  readonly id: string
  readonly masterKeyId: string
  readonly wrapped: Uint8Array
}
