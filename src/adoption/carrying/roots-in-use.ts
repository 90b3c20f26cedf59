import { getTableConfig } from 'drizzle-orm/pg-core'
import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import { platformTables } from '../../schema/tables.js'
import { isOfCarried, roots, rootsOf } from './carrying-home.js'

/** A foreign key of a table that is not one of tenantry to one that is. */
interface Outside {
  /** In SQL. */
  readonly table: string
  readonly target: string
  /** That row `r` refers to a row of the target, in SQL. */
  readonly refersTo: (row: string) => string
}

/** The application's own tables, and those that were adopted, refer to organizations, people and whatever belongs to them. */
async function outsideKeys(session: Session): Promise<Outside[]> {
  const rows = await session.query<{ table: string; target: string; columns: string[]; keys: string[] }>(
    `select k.conrelid::pg_catalog.regclass::text as table, f.relname as target,
       array(select a.attname::text from pg_catalog.unnest(k.conkey) with ordinality u(n, place)
         join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.n order by u.place) as columns,
       array(select a.attname::text from pg_catalog.unnest(k.confkey) with ordinality u(n, place)
         join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.n order by u.place) as keys
     from pg_catalog.pg_constraint k join pg_catalog.pg_class f on f.oid = k.confrelid join pg_catalog.pg_class c on c.oid = k.conrelid
     where k.contype = 'f' and k.conparentid = 0 and f.relnamespace = 'platform'::pg_catalog.regnamespace and c.relnamespace <> f.relnamespace
     order by 1, 2`,
  )
  return rows.map(({ table, target, columns, keys }) => ({
    table,
    target,
    refersTo: (row) =>
      columns.map((column, place) => `r.${quoted(column)} = ${row}.${quoted(keys[place] ?? '')}`).join(' and '),
  }))
}

const hasOrganization = (name: string): boolean =>
  platformTables.some((table) => {
    const config = getTableConfig(table)
    return config.name === name && config.columns.some((column) => column.name === 'org_id')
  })

/** Rows outside of tenantry that refer to something carried, each table in a few words. */
export async function outsideUses(session: Session, home: string): Promise<string[]> {
  const found: string[] = []
  for (const { table, target, refersTo } of await outsideKeys(session)) {
    const isRoot = roots.includes(target)
    if (!isRoot && !hasOrganization(target)) continue
    const isCarried = isRoot ? `x.id in (${rootsOf(home, target)})` : isOfCarried(home, 'x')
    const [row] = await session.query<{ rows: number }>(
      `select pg_catalog.count(*)::float8 as rows from ${table} r join platform.${quoted(target)} x on ${refersTo('x')} where ${isCarried}`,
    )
    if (row !== undefined && row.rows > 0) found.push(`${table}: ${row.rows} that refer to platform.${target}`)
  }
  return found
}

/** That nothing refers to row `t` of one of the `roots` but what was carried with it, in SQL. */
export async function freeOf(session: Session, home: string, to: string): Promise<string> {
  const outside = await outsideKeys(session)
  const none = [
    ...outside
      .filter(({ target }) => target === to)
      .map(({ table, refersTo }) => `select from ${table} r where ${refersTo('t')}`),
    ...(to === 'organizations'
      ? outside
          .filter(({ target }) => hasOrganization(target))
          .map(
            ({ table, target, refersTo }) =>
              `select from ${table} r join platform.${quoted(target)} x on ${refersTo('x')} where x.org_id = t.id`,
          )
      : ownUses(home, to)),
  ]
  return none.length === 0 ? 'true' : none.map((select) => `not exists (${select})`).join(' and ')
}

/** Rows of organizations that were not carried. */
const ownUses = (home: string, to: string): string[] =>
  platformTables.flatMap((table) => {
    const { name, columns, foreignKeys } = getTableConfig(table)
    if (!columns.some((column) => column.name === 'org_id')) return []
    return foreignKeys
      .map((key) => key.reference())
      .filter(({ foreignTable }) => getTableConfig(foreignTable).name === to)
      .flatMap((reference) => reference.columns.map((column) => column.name))
      .map(
        (column) =>
          `select from platform.${quoted(name)} r where r.${quoted(column)} = t.id and r.org_id not in (${rootsOf(home, 'organizations')})`,
      )
  })
