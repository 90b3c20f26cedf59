import { createHash } from 'node:crypto'
import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import { inHome } from '../home.js'
import { bodyOf, literal } from '../sql.js'
import type { CarriedTable } from './carried-table.js'
import { lockTogether } from './carrying-transaction.js'

const definer = 'security definer set search_path = pg_catalog, pg_temp'

/** Triggers fire in the order of their names, so `zz` fires after those of the table. */
const noted = 'zz_tenantry_noted'
const untruncated = 'zz_tenantry_untruncated'
const closed = 'zz_tenantry_closed'

/** One for each earlier table, also where it is carried into two of ours. */
export const sourcesOf = (tables: readonly CarriedTable[]): CarriedTable[] =>
  tables.filter((table, place) => tables.findIndex(({ source }) => source === table.source) === place)

/** Notes the keys of the rows that are written, so that they are carried again. */
export function watchStatements(home: string, tables: readonly CarriedTable[]): string[] {
  const changes = inHome(home, 'changes')
  return [
    `create function ${inHome(home, 'refuse_truncate')}() returns trigger language plpgsql ${definer} as ${bodyOf(`
begin
  raise exception '%.% cannot be truncated while its rows are carried into tenantry: delete them', tg_table_schema, tg_table_name;
end`)}`,
    ...sourcesOf(tables).flatMap(({ source, from, key, siblings }) => {
      const note = inHome(home, `note_${from.name}`)
      const name = literal(from.name)
      const add = (row: string) =>
        [
          `insert into ${changes} (table_name, key) values (${name}, ${row}.${quoted(key.name)}::text);`,
          ...(siblings === undefined
            ? []
            : [
                `insert into ${changes} (table_name, key) select ${name}, o.${quoted(key.name)}::text from ${source} o where ${siblings.replaceAll('{row}', row)};`,
              ]),
        ].join('\n    ')
      return [
        `create function ${note}() returns trigger language plpgsql ${definer} as ${bodyOf(`
begin
  if tg_op <> 'INSERT' then
    ${add('old')}
  end if;
  if tg_op = 'INSERT' or (tg_op = 'UPDATE' and ${siblings === undefined ? `old.${quoted(key.name)} <> new.${quoted(key.name)}` : 'true'}) then
    ${add('new')}
  end if;
  return null;
end`)}`,
        `create trigger ${noted} after insert or update or delete on ${source} for each row execute function ${note}()`,
        `create trigger ${untruncated} before truncate on ${source} for each statement execute function ${inHome(home, 'refuse_truncate')}()`,
        `insert into ${inHome(home, 'watched')} values (${name}, ${literal(JSON.stringify(formOf(tables, from.name)))})`,
      ]
    }),
  ]
}

/** How the rows of an earlier table are carried, and by which of its columns. */
export interface Form {
  readonly columns: Readonly<Record<string, string>>
  readonly digest: string
}

export function formOf(tables: readonly CarriedTable[], name: string): Form {
  const some = tables.filter(({ from }) => from.name === name)
  const parts = some.map(({ key, columns, sealed, joins, conditions, siblings }) => ({
    key,
    columns,
    sealed,
    joins,
    conditions,
    siblings,
  }))
  const used = some[0]?.from.columns.filter((column) => !some[0]?.staying.includes(column.name)) ?? []
  return {
    columns: Object.fromEntries(used.map((column) => [column.name, column.type])),
    digest: createHash('sha256').update(JSON.stringify(parts)).digest('hex'),
  }
}

/** What is another in this form. Undefined where nothing is. */
export function differenceOf(before: Form, now: Form): string | undefined {
  if (before.digest === now.digest) return undefined
  const named = (words: string, names: readonly string[]) =>
    names.length === 0 ? [] : [`${words} ${names.join(', ')}`]
  const names = Object.keys({ ...before.columns, ...now.columns })
  const texts = [
    ...named(
      'has lost',
      names.filter((name) => !Object.hasOwn(now.columns, name)),
    ),
    ...named(
      'has got',
      names.filter((name) => !Object.hasOwn(before.columns, name)),
    ),
    ...named(
      'has another type of',
      names.filter(
        (name) =>
          Object.hasOwn(before.columns, name) &&
          Object.hasOwn(now.columns, name) &&
          before.columns[name] !== now.columns[name],
      ),
    ),
  ]
  return texts.length === 0 ? 'is carried in another way by this version of tenantry' : texts.join(', ')
}

/** Where the tables of which the writes are noted are by now. */
export async function findWatched(session: Session, home: string): Promise<ReadonlyMap<string, string>> {
  const rows = await session.query<{ name: string; place: string }>(
    `select w.table_name as name, t.tgrelid::pg_catalog.regclass::text as place
     from ${inHome(home, 'watched')} w join pg_catalog.pg_proc p on p.proname = 'note_' || w.table_name
     join pg_catalog.pg_trigger t on t.tgfoid = p.oid and t.tgname = $1
     where p.pronamespace = $2::text::pg_catalog.regnamespace and t.tgenabled <> 'D'`,
    [noted, quoted(home)],
  )
  return new Map(rows.map(({ name, place }) => [name, place]))
}

/** What is written is no longer noted. In the transaction of the caller. */
export const unwatch = (session: Session, home: string): Promise<void> =>
  dropTriggers(session, home, [noted, untruncated, closed])

/** Wherever they are by now: a table may have got another name. */
async function dropTriggers(session: Session, home: string, names: readonly string[]): Promise<void> {
  const found = await session.query<{ name: string; on: string }>(
    `select t.tgname as name, t.tgrelid::pg_catalog.regclass::text as on from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
     where t.tgname = any ($1::text[]) and p.pronamespace = $2::text::pg_catalog.regnamespace order by 2, 1`,
    [names, quoted(home)],
  )
  if (found.length === 0) return
  await lockTogether(session, [...new Set(found.map(({ on }) => on))], 'access exclusive')
  for (const { name, on } of found) await session.query(`drop trigger ${name} on ${on}`)
}

/** From here on only ours are written. */
export const closeStatements = (home: string, tables: readonly CarriedTable[]): string[] => [
  closedFunction(
    home,
    `raise exception '%.% is closed: its rows are in the tables of tenantry since the swap', tg_table_schema, tg_table_name using errcode = '55000';`,
  ),
  ...sourcesOf(tables).map(
    ({ source }) =>
      `create or replace trigger ${closed} before insert or update or delete or truncate on ${source} for each statement execute function ${inHome(home, 'closed')}()`,
  ),
]

/** Writers are let in again. The triggers stay, since to drop one would wait for every reader of its table. */
export const openStatement = (home: string): string => closedFunction(home, 'return null;')

const closedFunction = (home: string, body: string): string =>
  `create or replace function ${inHome(home, 'closed')}() returns trigger language plpgsql ${definer} as ${bodyOf(`
begin
  ${body}
end`)}`
