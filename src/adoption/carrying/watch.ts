import { quoted } from '../../core/statements/column-plan.js'
import { inHome } from '../home.js'
import { bodyOf, literal } from '../sql.js'
import type { CarriedTable } from './carried-table.js'

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
      ]
    }),
  ]
}

export const unwatchStatements = (tables: readonly CarriedTable[]): string[] =>
  sourcesOf(tables).flatMap(({ source }) => [
    `drop trigger if exists ${noted} on ${source}`,
    `drop trigger if exists ${untruncated} on ${source}`,
  ])

/** From here on only ours are written. */
export const closeStatements = (home: string, tables: readonly CarriedTable[]): string[] => [
  `create or replace function ${inHome(home, 'closed')}() returns trigger language plpgsql ${definer} as ${bodyOf(`
begin
  raise exception '%.% is closed: its rows are in the tables of tenantry since the swap', tg_table_schema, tg_table_name using errcode = '55000';
end`)}`,
  ...sourcesOf(tables).map(
    ({ source }) =>
      `create or replace trigger ${closed} before insert or update or delete or truncate on ${source} for each statement execute function ${inHome(home, 'closed')}()`,
  ),
]

export const openStatements = (tables: readonly CarriedTable[]): string[] =>
  sourcesOf(tables).map(({ source }) => `drop trigger if exists ${closed} on ${source}`)
