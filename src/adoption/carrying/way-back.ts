import { getTableConfig } from 'drizzle-orm/pg-core'
import { MigrationError } from '../../core/errors.js'
import { quoted } from '../../core/statements/column-plan.js'
import { factsOf } from '../../schema/shared/kinds.js'
import { platformTables } from '../../schema/tables.js'
import { inHome } from '../home.js'
import { literal } from '../sql.js'
import { forget, isOfCarried, roots, rootsOf, takenSteps } from './carrying-home.js'
import type { Session } from '../../database/session.js'
import type { Carrying } from './carrying.js'
import { knownTables } from './known-tables.js'
import { asWhole, carryingTransaction, lockTogether } from './carrying-transaction.js'
import { compare, extraRows, isEqual } from './compare.js'
import { deleteFree } from './remove-rows.js'
import { outsideUses } from './roots-in-use.js'
import { openStatement, unwatch } from './watch.js'

/** Opens the earlier tables for writers again. Refused where that would lose what was written in tenantry since they were closed. */
export function reopen(carrying: Carrying, mayLose: boolean): Promise<void> {
  const { session, home, tables } = carrying
  return carryingTransaction(session, 'the way back of swap', async () => {
    if (!mayLose) {
      // Nobody writes between the comparison and the opening.
      const targets = [...new Set(tables.map(({ target }) => target))]
      await lockTogether(session, targets)
      await session.query(asWhole)
      refuseLoss(await writtenSince(carrying))
    }
    await session.query(openStatement(home))
    await forget(session, home, 'swap')
    await forget(session, home, 'closing')
  })
}

/** What was written in tenantry since the swap, each in a few words. */
export const writtenSince = async (carrying: Carrying): Promise<string[]> => [
  ...(await changedSince(carrying)),
  ...(await othersInUse(carrying)),
]

function refuseLoss(reasons: readonly string[]): void {
  if (reasons.length > 0)
    throw new MigrationError(
      [
        'The way back would lose what was written in tenantry:',
        ...reasons.map((one) => `- ${one}`),
        'Nothing was done. To give new rows up, as perhaps entries of the audit log, delete them first as the owner of the tables; what was changed or deleted, write again as it was',
      ].join('\n'),
    )
}

async function changedSince(carrying: Carrying): Promise<string[]> {
  const what = (rows: number, change: string) => (rows === 0 ? [] : [`${rows} ${change}`])
  return (await compare(carrying, { mayBeShredded: true }))
    .filter((table) => !isEqual(table))
    .map(
      ({ name, missing, differing, extra, secrets }) =>
        `${name}: ${[
          ...what(extra, 'new'),
          ...what(differing, 'changed'),
          ...what(missing, 'deleted'),
          ...what(secrets, 'with another secret'),
        ].join(', ')}`,
    )
}

/** Tables that carrying, and sealing the audit log, fill by themselves. */
const filledByCarrying = ['roles', 'role_permissions', 'org_keys', 'audit_seals']

/** Rows of the carried organizations in tables that no earlier one leads to, and roles that were made for them. */
async function othersInUse({ session, home, tables }: Carrying): Promise<string[]> {
  const found: string[] = []
  const count = async (name: string, condition: string) => {
    const [row] = await session.query<{ rows: number }>(
      `select pg_catalog.count(*)::float8 as rows from platform.${quoted(name)} t
       where ${isOfCarried(home)} and ${condition}`,
    )
    if (row !== undefined && row.rows > 0) found.push(`${name}: ${row.rows} new`)
  }
  const filled = await carriedInto(session, home)
  for (const table of platformTables) {
    const { name, columns } = getTableConfig(table)
    const kind = factsOf(table)?.kind
    if (!columns.some((column) => column.name === 'org_id') || (kind !== 'tenant' && kind !== 'control')) continue
    if (!filledByCarrying.includes(name) && !filled.has(name)) await count(name, 'true')
  }
  await count('roles', 't.built_in is not true')
  for (const to of ['organizations', 'users']) {
    const source = tables.find((table) => table.to === to)?.source
    if (source === undefined) continue
    const [row] = await session.query<{ rows: number }>(
      `select pg_catalog.count(*)::float8 as rows from platform.${to} t join ${inHome(home, 'steps')} s on s.name = 'swap' and t.created_at > s.taken_at
       where not exists (select from ${source} o where o.id = t.id)`,
    )
    if (row !== undefined && row.rows > 0) found.push(`${to}: ${row.rows} new`)
  }
  return [...found, ...(await outsideUses(session, home))]
}

/** The tables of ours that have carried rows, also where the earlier table is gone. */
async function carriedInto(session: Session, home: string): Promise<ReadonlySet<string>> {
  const watched = await session.query<{ name: string }>(`select table_name as name from ${inHome(home, 'watched')}`)
  return new Set(
    knownTables
      .filter(({ from }) => watched.some(({ name }) => name === from))
      .map(({ to }) => getTableConfig(to).name),
  )
}

/**
 * What the way back of `expand` would delete and carrying has not made, each in a few words. Where earlier tables have another form by now, it
 * cannot be told which rows of the tables that carrying fills were carried.
 */
export async function madeBesides(carrying: Carrying, isComparable: boolean): Promise<string[]> {
  const found: string[] = []
  for (const table of isComparable ? carrying.tables : []) {
    // Organizations, people and flags that were not carried stay.
    const rows = roots.includes(table.to) ? 0 : await extraRows(carrying, table)
    if (rows > 0) found.push(`${table.to}: ${rows} new`)
  }
  return [...found, ...(await othersInUse(carrying))]
}

/** Organizations that one transaction removes. */
const batch = 50

/** Removes what was carried, unless the tables of tenantry are gone, and no longer notes what is written. */
export async function undoExpand(carrying: Carrying, isOurs: boolean, isComparable: boolean): Promise<void> {
  if (isOurs) await removeCarried(carrying, isComparable)
  await carryingTransaction(carrying.session, where, () => removeWatch(carrying, isOurs))
}

const where = 'the way back of expand'

/** The organizations with all that belongs to them, and the people who are in no other one. */
async function removeCarried(carrying: Carrying, isComparable: boolean): Promise<void> {
  const { session, home } = carrying
  await carryingTransaction(session, where, async () => {
    await session.query(asWhole)
    refuseLoss(await madeBesides(carrying, isComparable))
  })
  for (let isDone = false; !isDone;)
    isDone = await carryingTransaction(session, where, async () => {
      const rows = await session.query<{ id: string }>(
        `select t.id from platform.organizations t where t.id in (${rootsOf(home, 'organizations')}) order by t.id limit ${batch}`,
      )
      const ids = [rows.map(({ id }) => id)]
      // They have no foreign key.
      await session.query('delete from platform.audit_logs where org_id = any ($1::uuid[])', ids)
      await session.query('delete from platform.audit_seals where org_id = any ($1::uuid[])', ids)
      await session.query('delete from platform.organizations where id = any ($1::uuid[])', ids)
      return rows.length === 0
    })
  await carryingTransaction(session, where, async () => {
    // Plans and add-ons stay, since others may use those of the same name.
    for (const to of ['users', 'feature_flags'])
      await deleteFree(session, home, { to, target: `platform.${to}` }, rootsOf(home, to))
  })
}

/** Keeps the home while carried people or flags remain, because other organizations use them: the next `expand` may carry them again. */
async function removeWatch({ session, home }: Carrying, isOurs: boolean): Promise<void> {
  await unwatch(session, home)
  const known = inHome(home, 'roots')
  for (const to of roots)
    await session.query(
      `delete from ${known} c where c.table_name = ${literal(to)}${isOurs ? ` and not exists (select from platform.${to} t where t.id = c.id)` : ''}`,
    )
  const kept = await session.query(`select from ${known} limit 1`)
  if (kept.length === 0 && !(await takenSteps(session, home)).includes('move')) {
    await session.query(`drop schema ${quoted(home)} cascade`)
    return
  }
  for (const name of ['expand', 'backfill', 'prove', 'removing'] as const) await forget(session, home, name)
  for (const name of ['changes', 'left_rows', 'progress', 'leaves', 'watched'])
    await session.query(`delete from ${inHome(home, name)}`)
  const functions = await session.query<{ name: string }>(
    `select p.oid::pg_catalog.regprocedure::text as name from pg_catalog.pg_proc p where p.pronamespace = $1::text::pg_catalog.regnamespace`,
    [quoted(home)],
  )
  for (const { name } of functions) await session.query(`drop function ${name}`)
}
