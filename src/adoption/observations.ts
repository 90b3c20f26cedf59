import { MigrationError } from '../core/errors.js'
import { quoted } from '../core/statements/column-plan.js'
import type { Session } from '../database/session.js'
import type { Finding } from './findings.js'
import { literal } from './sql.js'
import { counters } from './steps/observe.js'

/** The tables that `observe` observes, and the schema that counts. */
export interface ObservedPlace {
  readonly home: string
  readonly tables: readonly { readonly name: string }[]
}

/** How many transactions used rows of a table, and how many of them outside of the organization of the row. */
export interface Observation {
  readonly table: string
  readonly transactions: number
  readonly unbound: number
  readonly another: number
  readonly since: Date
}

/** One observation for each of the tables, in their order. Read-only transactions are not counted. */
export async function readObservations(session: Session, { home, tables }: ObservedPlace): Promise<Observation[]> {
  const names = tables.map(({ name }) => name)
  const count = (counter: string) =>
    `coalesce(pg_catalog.pg_sequence_last_value((${literal(`${quoted(home)}.${counter}_`)} || t.number)::pg_catalog.regclass), 0)::float8`
  const found = await session.query<Observation>(
    `select t.name as table, ${count('seen')} as transactions, ${count('unbound')} as unbound, ${count('another')} as another, t.since
     from ${await observedTables(session, home)} t where t.name = any ($1::text[]) order by t.number`,
    [names],
  )
  const missing = names.filter((name) => !found.some(({ table }) => table === name))
  if (missing.length > 0) throw new MigrationError(`${missing.join(', ')}: not observed by ${home}`)
  return found
}

/** Sessions of others that row security does not bind, as of the owner of the tables: what they use is not observed. */
export async function unobservedSessions(
  session: Session,
  schema: string,
  tables: ObservedPlace['tables'],
): Promise<number> {
  const [row] = await session.query<{ sessions: number }>(
    `select pg_catalog.count(*)::float8 as sessions from pg_catalog.pg_stat_activity a join pg_catalog.pg_roles r on r.oid = a.usesysid
     where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
       and (r.rolsuper or r.rolbypassrls or exists (
         select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = $2 and c.relname = any ($1::text[]) and pg_catalog.pg_has_role(r.oid, c.relowner, 'usage')))`,
    [tables.map(({ name }) => name), schema],
  )
  return row?.sessions ?? 0
}

/** The same, and none before `observe` and after `contract`. */
export async function readObservationsIfAny(session: Session, place: ObservedPlace): Promise<Observation[]> {
  return (await isObserved(session, place.home)) ? readObservations(session, place) : []
}

/** Counts from zero again, as after the code was mended. */
export async function resetObservations(session: Session, { home, tables }: ObservedPlace): Promise<void> {
  const reset = (counter: string) =>
    `pg_catalog.setval((${literal(`${quoted(home)}.${counter}_`)} || number)::pg_catalog.regclass, 1, false)`
  await session.query(
    `with tables as (
       update ${await observedTables(session, home)} set since = pg_catalog.clock_timestamp() where name = any ($1::text[]) returning number
     )
     select ${counters.map(reset).join(', ')} from tables`,
    [tables.map(({ name }) => name)],
  )
}

const counted = (transactions: number) => `${transactions} transaction${transactions === 1 ? '' : 's'}`

/** What keeps the exact policies from being enforced. Without findings the silence counts only if each table was used often enough. */
export function obstaclesToEnforce(observations: readonly Observation[], leastTransactions: number): Finding[] {
  return observations.flatMap(({ table, transactions, unbound, another, since }): Finding[] => {
    const began = `since ${since.toISOString()}`
    const finding = (kind: string, message: string): Finding => ({ table, kind, needs: 'mend', message })
    return [
      ...(unbound > 0
        ? [finding('unbound', `${counted(unbound)} used ${table} with no organization bound ${began}`)]
        : []),
      ...(another > 0
        ? [
            finding(
              'another',
              `${counted(another)} used rows of ${table} that are not of the bound organization ${began}`,
            ),
          ]
        : []),
      ...(transactions < leastTransactions
        ? [
            finding(
              'seldom used',
              `${counted(transactions)} used ${table} ${began}, and ${leastTransactions} are wanted`,
            ),
          ]
        : []),
    ]
  })
}

async function observedTables(session: Session, home: string): Promise<string> {
  if (!(await isObserved(session, home)))
    throw new MigrationError(`nothing is observed by ${home}: counts exist from adopt observe until adopt contract`)
  return tablesIn(home)
}

const tablesIn = (home: string) => `${quoted(home)}.observed_tables`

async function isObserved(session: Session, home: string): Promise<boolean> {
  const [found] = await session.query<{ exists: boolean }>('select pg_catalog.to_regclass($1) is not null as exists', [
    tablesIn(home),
  ])
  return found?.exists === true
}
