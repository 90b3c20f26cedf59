import { expect, test } from 'vitest'
import { readFolder } from '../../src/migrations/folder.js'
import { platformMigrations } from '../../src/migrations/migrator.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { platformTables } from '../../src/schema/tables.js'
import { useEmptyDatabases } from './empty-database.js'

const emptyDatabase = useEmptyDatabases()

test('a database at an earlier migration is granted the rights on the columns that it has', async () => {
  const { session } = await emptyDatabase()
  const { length } = await readFolder(platformMigrations.folder)
  const granted = async (): Promise<string[]> => {
    const columns = await session.query<{ name: string }>(
      `select attname::text as name from pg_attribute
       where attrelid = to_regclass('platform.tasks') and attname = any ($1)
         and has_column_privilege('tenantry_app', attrelid, attnum, 'update') order by 1`,
      [['lease_owner', 'lease_token']],
    )
    return columns.map(({ name }) => name)
  }
  const stages = new Set<string>()
  for (let to = 0; to < length; to += 1) {
    await upgrade(session, { sets: [platformMigrations], tables: platformTables }, { to })
    stages.add((await granted()).join())
  }
  expect([...stages]).toEqual(['', 'lease_owner', 'lease_owner,lease_token'])
})
