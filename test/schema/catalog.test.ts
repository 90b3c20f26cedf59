import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getTableConfig } from 'drizzle-orm/pg-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { dumpCatalog } from '../../scripts/catalog/fingerprint.js'
import { platformMigrations } from '../../src/migrations/migrator.js'
import { sqlFunctions } from '../../src/access/functions.js'
import { factsOf } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { twinOf } from './twin.js'

const database = useDatabase()

/** What the product was asked to hold, by name. */
const asked = [
  'api_keys',
  'addon_catalog',
  'audit_logs',
  'billing_plans',
  'compute_config',
  'credentials',
  'credits',
  'customer_profiles',
  'database_connection_logs',
  'database_metrics',
  'databases',
  'disk_config',
  'feature_flags',
  'invoices',
  'organization_feature_flags',
  'organization_invitations',
  'organization_members',
  'organizations',
  'payment_methods',
  'project_addons',
  'project_members',
  'project_metrics',
  'projects',
  'subscriptions',
  'tax_ids',
  'usage_metrics',
  'user_sessions',
  'users',
]

const further = [
  'agent_tools',
  'agents',
  'api_key_windows',
  'audit_seals',
  'billing_events',
  'credit_entries',
  'idempotency_keys',
  'llms',
  'org_keys',
  'organization_llms',
  'organization_tools',
  'permissions',
  'role_permissions',
  'roles',
  'schedules',
  'system_audit_logs',
  'tasks',
  'tools',
  'usage_events',
  'user_audit_logs',
  'workflows',
]

const everyTable = [...asked, ...further].sort()
const partitioned = platformTables.filter((table) => factsOf(table)?.partitionedBy !== undefined)

test('every table is there, and nothing else but partitions', async () => {
  expect(asked).toHaveLength(28)
  const relations = await database.admin.query<{ name: string }>(
    `select c.relname as name from pg_class c
     where c.relnamespace = 'platform'::regnamespace and c.relkind not in ('i', 'I') and not c.relispartition
     order by c.relname collate "C"`,
  )
  expect(relations.map(({ name }) => name)).toEqual(everyTable)
  expect(platformTables.map((table) => getTableConfig(table).name).sort()).toEqual(everyTable)
  expect(new Set(platformTables.map((table) => getTableConfig(table).schema))).toEqual(new Set(['platform']))

  const listed = await database.admin.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'platform' and tablename = any ($1) order by tablename collate "C"`,
    [everyTable],
  )
  expect(listed.map(({ name }) => name)).toEqual(everyTable)
})

test('docs/schema.md lists every table once, and the README says how many there are', async () => {
  const [page, readme] = await Promise.all(
    ['docs/schema.md', 'README.md'].map((path) => readFile(join(import.meta.dirname, '../..', path), 'utf8')),
  )
  expect([...(page ?? '').matchAll(/^- `(\w+)`/gm)].map(([, name]) => name).sort()).toEqual(everyTable)
  expect(readme).toContain(`| ${everyTable.length} tables `)
})

describe('as it is defined', () => {
  let migrated: ReadonlyMap<string, string>
  let defined: ReadonlyMap<string, string>

  beforeAll(async () => {
    const { admin } = database
    await admin.query('create schema twin')
    for (const table of platformTables) for (const statement of twinOf(table, 'twin')) await admin.query(statement)
    migrated = tableTexts(await dumpCatalog(admin, { schemas: ['platform'] }))
    defined = tableTexts((await dumpCatalog(admin, { schemas: ['twin'] })).replaceAll('twin.', 'platform.'))
  })

  // Its columns with type, null, default and expression, keys, indexes, checks, policies, and rights of both roles and of everybody.
  test.each(everyTable)('%s', (name) => {
    expect(inAnyOrder(migrated.get(name))).toEqual(inAnyOrder(defined.get(name)))
    expect(migrated.get(name)).toContain(`CREATE TABLE platform.${name} (\n`)
  })
})

/** A column that a later migration added comes last in its table, wherever the definition has it. */
const inAnyOrder = (text = ''): string[] => text.split(/,?\n/).sort()

/** The dump's parts, by table. */
function tableTexts(dump: string): Map<string, string> {
  return new Map(
    dump
      .trimEnd()
      .split('\n\n')
      .flatMap((text) => {
        const name = /^CREATE TABLE platform\.(\w+) /.exec(text)?.[1]
        return name === undefined ? [] : [[name, text]]
      }),
  )
}

test('the functions are as they are declared, and only the declared roles run them', async () => {
  const found = await database.admin.query(
    `select p.oid::regprocedure::text as signature, p.prosrc as body, p.prosecdef as definer, p.proconfig as settings,
       case p.provolatile when 's' then 'stable' when 'v' then 'volatile' end as volatility,
       array(select coalesce(r.rolname, 'public')::text from aclexplode(p.proacl) a left join pg_roles r on r.oid = a.grantee
         where a.grantee <> p.proowner order by 1) as "executableBy"
     from pg_proc p where p.pronamespace = 'platform'::regnamespace`,
  )
  const declared = sqlFunctions.map(({ signature, body, definer, settings, volatility, executableBy }) => ({
    ...{ signature, body, definer, volatility },
    settings: settings.length > 0 ? settings : null,
    executableBy: [...executableBy].sort(),
  }))
  const bySignature = (a: { signature?: unknown }, b: { signature?: unknown }) =>
    String(a.signature) < String(b.signature) ? -1 : 1
  expect(found.sort(bySignature)).toEqual(declared.sort(bySignature))
})

test('nobody but the owner and the two roles has a right on anything, and neither of them may pass it on', async () => {
  const strangers = await database.admin.query(
    `select c.relname, a.grantee::regrole::text as grantee, a.privilege_type, a.is_grantable
     from pg_class c
     cross join lateral (
       select * from aclexplode(c.relacl)
       union all
       select e.* from pg_attribute t, aclexplode(t.attacl) e where t.attrelid = c.oid
     ) a
     where c.relnamespace = 'platform'::regnamespace and a.grantee <> c.relowner
       and (a.is_grantable or c.relispartition or a.grantee = 0
         or a.grantee::regrole::text not in ('tenantry_app', 'tenantry_system'))`,
  )
  expect(strangers).toEqual([])
})

test('each partitioned table has a default partition, and those of this month and the next two', async () => {
  expect(partitioned.map((table) => getTableConfig(table).name).sort()).toEqual([
    'audit_logs',
    'database_connection_logs',
    'database_metrics',
    'project_metrics',
  ])
  const { admin } = database
  await admin.query(`set timezone = 'UTC'`)
  for (const table of partitioned) {
    const { name } = getTableConfig(table)
    const found = await admin.query<{ name: string; bound: string }>(
      `select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound
       from pg_inherits i join pg_class c on c.oid = i.inhrelid
       where i.inhparent = ('platform.' || $1)::regclass order by c.relname collate "C"`,
      [name],
    )
    const months = await admin.query<{ name: string; bound: string }>(
      `select $1 || to_char(month, '"_"YYYY"_"MM') as name,
         format('FOR VALUES FROM (%L) TO (%L)', month, month + interval '1 month') as bound
       from generate_series(date_trunc('month', now()), now() + interval '2 months', interval '1 month') month`,
      [name],
    )
    expect(found).toEqual([...months, { name: `${name}_default`, bound: 'DEFAULT' }])
  }
})

test('the committed text is the catalog that the migrations make', async () => {
  const committed = await readFile(join(platformMigrations.folder, 'schema.sql'), 'utf8')
  expect(await dumpCatalog(database.admin, { schemas: ['platform'] })).toBe(committed)
})

test('every reference between tables is known to the server', async () => {
  const references = await database.admin.query<{ name: string }>(
    `select table_name || '.' || constraint_name as name from information_schema.table_constraints
     where constraint_schema = 'platform' and constraint_type = 'FOREIGN KEY' and table_name = any ($1)`,
    [everyTable],
  )
  const defined = platformTables.flatMap((table) => {
    const { name, foreignKeys } = getTableConfig(table)
    return foreignKeys.map((key) => `${name}.${key.getName()}`)
  })
  expect(references.map(({ name }) => name).sort()).toEqual(defined.sort())
  expect(references.length).toBeGreaterThan(80)
})
