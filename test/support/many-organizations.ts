import type { Session } from '../../src/database/session.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { idOf, member, rowsEach, tables } from './rows-of-organizations.js'

// With two of them, half of a table is read faster by reading all of it. From sixteen on the server decides for an index.
const organizations = 24

/**
 * Organizations of the same size, whose rows lie between each other as they do when everybody works at once. Gives their ids.
 * Their ids and those of what they refer to are twins, which says nothing to the planner.
 */
export async function fillOrganizations(session: Session): Promise<string[]> {
  const ids: string[] = []
  for (let made = 0; made < organizations; made++) ids.push(await createOrganization(session))
  await session.query(
    `insert into platform.tools (id, key, name) select ${idOf('tool', 'n')}, case n when 1 then 'contract-tool' else 'tool-' || n end, 'Tool' from generate_series(1, ${rowsEach}) n`,
  )
  await session.query(
    `insert into platform.llms (id, key, name, provider) select ${idOf('llm', 'n')}, 'llm-' || n, 'Model', 'acme' from generate_series(1, ${rowsEach}) n`,
  )
  await session.query(
    `insert into platform.addon_catalog (id, addon_id, name, type, variants)
     values (${idOf('offer', '1')}, 'contract_addon', 'Add-on', 'test',
       '[{"variant": "only", "name": "Only", "price": "5.25", "currency": "USD"}]')`,
  )
  await session.query(
    `insert into platform.users (id, email) select ${member}, o || '-' || n || '@example.com'
     from generate_series(0, ${rowsEach}) n, unnest($1::uuid[]) o`,
    [ids],
  )
  // Every row is read for the statistics: a sample would make some organizations look larger than others, each time other ones.
  await session.query('set default_statistics_target = 1000')
  for (const [table, columns, rows] of tables) {
    await session.query(
      `insert into platform.${table} (org_id, ${columns.map(([name]) => name).join(', ')})
       select o, ${columns.map(([, value]) => value).join(', ')}
       from generate_series(1, $2::int) n, unnest($1::uuid[]) o, mod(n * 7919 + hashtext(o::text) % 1000, $2::int) scattered
       order by n`,
      [ids, rows],
    )
    // Else the server analyzes once more at a moment of its own, when a test's rows are in the table, too, and plans otherwise.
    const leaves = await session.query<{ name: string }>(
      `select relid::regclass::text as name from pg_partition_tree($1) where isleaf`,
      [`platform.${table}`],
    )
    for (const { name } of leaves) await session.query(`alter table ${name} set (autovacuum_enabled = off)`)
    await session.query(`vacuum analyze platform.${table}`)
  }
  return ids
}
