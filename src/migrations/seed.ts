import { getTableName } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/pg-proxy'
import { v7 as uuid } from 'uuid'
import type { z } from 'zod'
import { MigrationError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import { addonCatalog, newAddon } from '../schema/addons.js'
import { billingPlans, newBillingPlan } from '../schema/billing-plans.js'
import { featureFlags, newFeatureFlag } from '../schema/feature-flags.js'
import { llms, newLlm } from '../schema/llms.js'
import { seededAddons, seededFlags, seededLlms, seededPlans, seededTools } from '../schema/seeds.js'
import { newTool, tools } from '../schema/tools.js'
import { refuseFilteredRows } from '../database/row-security.js'
import { withContext } from '../database/session-failure.js'

/** The result for one catalog. */
export interface Seeded {
  readonly table: string
  /** The keys of the inserted rows. */
  readonly inserted: readonly string[]
  /** The number of existing rows, which were not changed. */
  readonly kept: number
}

interface Catalog {
  readonly table: PgTable
  /** The column that identifies a row, beside its id. */
  readonly key: PgColumn
  readonly rows: readonly unknown[]
  readonly shape: z.ZodObject
}

const catalogs: readonly Catalog[] = [
  { table: billingPlans, key: billingPlans.id, rows: seededPlans, shape: newBillingPlan },
  { table: addonCatalog, key: addonCatalog.addonId, rows: seededAddons, shape: newAddon },
  { table: featureFlags, key: featureFlags.flagKey, rows: seededFlags, shape: newFeatureFlag },
  { table: llms, key: llms.key, rows: seededLlms, shape: newLlm },
  { table: tools, key: tools.key, rows: seededTools, shape: newTool },
]

const builder = drizzle(() => Promise.reject(new TypeError('this builder only makes SQL')))

/**
 * Inserts the rows that are missing from the catalogs, all of them or none. An existing row is never changed. `embedded` is the directory
 * of an embedded database, for the command that an error names.
 */
export async function seed(direct: Session, embedded?: string): Promise<Seeded[]> {
  const session = withContext(direct, 'seed')
  await requireMigrated(session, embedded)
  await session.query('begin')
  try {
    await session.query(refuseFilteredRows)
    const seeded: Seeded[] = []
    for (const catalog of catalogs) seeded.push(await insertAbsent(session, catalog))
    await session.query('commit')
    return seeded
  } catch (error) {
    await session.query('rollback').catch(() => undefined)
    throw error
  }
}

async function requireMigrated(session: Session, embedded: string | undefined): Promise<void> {
  const found = await session.query("select from pg_catalog.pg_namespace where nspname = 'platform'")
  const command = `npx tenantry migrate up${embedded === undefined ? '' : ` --embedded ${embedded}`}`
  if (found.length === 0) throw new MigrationError(`the schema platform is missing: run ${command} first`)
}

async function insertAbsent(session: Session, { table, key, rows, shape }: Catalog): Promise<Seeded> {
  // A plan's key is its id; every other row gets a new one.
  const values = rows.map((row) => ({ id: uuid(), ...shape.parse(row) }))
  const { sql, params } = builder.insert(table).values(values).onConflictDoNothing().returning({ key }).toSQL()
  const inserted = (await session.query<Record<string, string>>(sql, params)).flatMap((row) => Object.values(row))
  return { table: getTableName(table), inserted, kept: rows.length - inserted.length }
}
