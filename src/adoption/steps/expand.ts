import { quoted } from '../../core/statements/column-plan.js'
import { type AdoptedSchema, type AdoptedTable, type Constant } from '../adopted-schema.js'
import { closeHome, inHome, quarantineOf } from '../home.js'
import { organizationMaking, organizationOfRow, refuseTakenIds } from './organizations.js'
import type { Step } from './step.js'
import { bodyOf, literal } from '../sql.js'

/** Adds `org_id` to every table, without rewriting one, and sees to it that new rows have it. */
export function expand(adopted: AdoptedSchema): Step {
  const { home, tables } = adopted
  const quarantined = tables.filter(({ isQuarantined }) => isQuarantined)
  const making = organizationMaking(adopted)
  // The trigger of a table reads the organization of its parents.
  const columns = parentsFirst(tables).map((table) => filledColumn(adopted, table))
  return {
    up: [
      ...refuseTakenIds(adopted),
      `create schema ${quoted(home)}`,
      ...quarantined.map(({ name, on }) => `create table ${inHome(home, quarantineOf(name))} (like ${on})`),
      ...making.up,
      ...columns.flatMap(({ up }) => up),
      closeHome(home),
    ],
    down: [
      ...refuseOthers(adopted),
      ...columns.toReversed().flatMap(({ down }) => down),
      ...making.down,
      ...quarantined.map(({ name }) => `drop table if exists ${inHome(home, quarantineOf(name))}`),
      `drop schema if exists ${quoted(home)}`,
    ],
  }
}

/** The id of an organization that a decision names, also once the home of the adoption is gone. */
const foundConstant = ({ key, id, slug }: Constant): string =>
  `select o.id from platform.organizations o where (o.provision_key = ${literal(key)} or o.id = ${literal(id)} or o.slug = ${literal(slug)}) and o.deleted_at is null
   order by o.provision_key is distinct from ${literal(key)}, o.id <> ${literal(id)} limit 1`

/**
 * Before anything is undone: without the column, rows that other organizations have got would be those of the only one there was, or of the
 * one that rows without a way have.
 */
function refuseOthers({ tables }: AdoptedSchema): string[] {
  const checks = tables.flatMap(({ name, on, constant, fallback, owner, hadColumn }) => {
    const only = constant ?? (hadColumn || owner === undefined ? undefined : fallback)
    if (only === undefined) return []
    const others =
      constant === undefined
        ? `select pg_catalog.count(distinct t.ctid) from ${on} t${owner?.joins ?? ''} where (${owner?.sql ?? 'null'}) = ${literal(only.key)} and t.org_id <> (${foundConstant(only)})`
        : `select pg_catalog.count(*) from ${on} t where t.org_id <> ${literal(constant.id)}`
    return [
      `  -- Where the step was interrupted, the table may have no such column.
  if exists (select from pg_catalog.pg_attribute a where a.attrelid = ${literal(on)}::pg_catalog.regclass and a.attname = 'org_id'
      and a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype and not a.attisdropped) then
    execute ${literal(others)} into tenantry_count;
    if tenantry_count > 0 then
      raise exception '%: % rows belong to other organizations than %, and would become its own: move them into another table, or delete them',
        ${literal(name)}, tenantry_count, ${literal(only.slug)};
    end if;
  end if;`,
    ]
  })
  if (checks.length === 0) return []
  return [
    `do ${bodyOf(`
declare
  tenantry_count bigint;
begin
${checks.join('\n')}
end`)}`,
  ]
}

function parentsFirst(tables: readonly AdoptedTable[]): AdoptedTable[] {
  const sorted = new Set<AdoptedTable>()
  const add = (table: AdoptedTable) => {
    for (const one of tables)
      if (one !== table && !sorted.has(one) && table.parents.some((parent) => parent.table === one.name)) add(one)
    sorted.add(table)
  }
  tables.forEach(add)
  return [...sorted]
}

/** The column, and what fills it. */
function filledColumn(adopted: AdoptedSchema, table: AdoptedTable): Step {
  const { on, constant, hadColumn } = table
  if (hadColumn) return fillTrigger(adopted, table)
  if (constant !== undefined) {
    const fixed = literal(constant.id)
    return {
      // A constant default is stored once, in the catalog.
      up: [`alter table ${on} add column org_id uuid not null default ${fixed}`],
      down: [dropOwnColumn(table, `pg_catalog.pg_get_expr(d.adbin, d.adrelid) = ${literal(`${fixed}::uuid`)}`, [])],
    }
  }
  const { makeFunction, makeTriggers, dropTriggers, dropFunction } = fillStatements(adopted, table)
  const isFilled = `exists (select from pg_catalog.pg_trigger t where t.tgrelid = a.attrelid and t.tgname = ${literal(fillTriggerName)})`
  return {
    up: [
      makeFunction,
      // Together, so that the triggers tell the way back which column is ours.
      `do ${bodyOf(`
begin
  alter table ${on} add column org_id uuid;
  ${makeTriggers.join(';\n  ')};
end`)}`,
    ],
    down: [dropOwnColumn(table, isFilled, dropTriggers), dropFunction],
  }
}

/** Somebody may have added a column of that name before this step came to the table. Then the step has failed, and the column stays. */
const dropOwnColumn = ({ name, on }: AdoptedTable, isOurs: string, before: readonly string[]): string =>
  `do ${bodyOf(`
declare
  tenantry_is_ours boolean;
begin
  select coalesce(${isOurs}, false) into tenantry_is_ours
  from pg_catalog.pg_attribute a left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = ${literal(on)}::pg_catalog.regclass and a.attname = 'org_id' and not a.attisdropped;
  if tenantry_is_ours then
    ${[...before, `alter table ${on} drop column org_id`].join(';\n    ')};
  elsif found then
    raise exception '%', ${literal(`${name}.org_id is not as this adoption has made it: rename it if it is yours, or else drop it`)};
  end if;
end`)}`

// After the triggers of the table itself, which fire in the order of their names.
export const fillTriggerName = 'zz_tenantry_org_id'
const moveTriggerName = 'zz_tenantry_org_id_moves'

/** The triggers that give new rows of code which knows no organizations theirs, and rows that move that of their new parent. */
export function fillTrigger(adopted: AdoptedSchema, table: AdoptedTable): Step {
  if (table.owner === undefined) return { up: [], down: [] }
  const { makeFunction, makeTriggers, dropTriggers, dropFunction } = fillStatements(adopted, table)
  return { up: [makeFunction, ...makeTriggers], down: [...dropTriggers, dropFunction] }
}

function fillStatements(adopted: AdoptedSchema, table: AdoptedTable) {
  const { name, on, wayColumns, hadColumn } = table
  const organization = organizationOfRow(adopted, table)
  const fill = inHome(adopted.home, `fill_${name}`)
  const [prefersOwn, kept] = hadColumn
    ? ['', '']
    : [
        `  -- From the swap on several organizations may have a row with the same key: that of the own one counts, or of the bound one.
  new.org_id := coalesce(new.org_id, old.org_id, tenantry_bound);
`,
        ', old.org_id',
      ]
  // What other triggers have changed counts too, and so does what a foreign key writes.
  const isMoved = [
    ...wayColumns.map((column) => `old.${quoted(column)} is distinct from new.${quoted(column)}`),
    'old.org_id is not null and old.org_id is distinct from new.org_id',
  ].join(' or ')
  return {
    makeFunction: `create function ${fill}() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as ${bodyOf(`
declare
  tenantry_given constant uuid := new.org_id;
  tenantry_setting constant text := current_setting('tenantry.org_id', true);
  tenantry_bound constant uuid := case when tenantry_setting ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then tenantry_setting::uuid end;
  tenantry_found uuid[];
  tenantry_next uuid;
begin
  if tg_op = 'INSERT' and new.org_id is not null then
    return new;
  end if;
${prefersOwn}  select array_agg(distinct found.org_id) into tenantry_found
  from (select ${organization.sql} as org_id from (select new.*) t${organization.joins}) found where found.org_id is not null;
  tenantry_next := case when new.org_id = any (tenantry_found) then new.org_id
    when tenantry_bound = any (tenantry_found) then tenantry_bound
    when cardinality(tenantry_found) = 1 then tenantry_found[1] end;
  if cardinality(tenantry_found) > 1 and tenantry_next is null then
    raise exception '%', ${literal(`a row of ${name} leads to rows of several organizations: name the organization in org_id, or bind one`)};
  end if;
  -- A foreign key that cascades does not check the row again, so that setting it back would leave it dangling.
  if tg_op = 'UPDATE' and old.org_id is not null and tenantry_given <> old.org_id and tenantry_next <> tenantry_given then
    raise exception '%', ${literal(`a row of ${name} cannot move to another organization than its way leads to`)};
  end if;
  -- A row whose parent is gone stays in its organization, unless the column is the table's own.
  new.org_id := coalesce(tenantry_next, tenantry_given${kept});
  return new;
end`)}`,
    makeTriggers: [
      `create trigger ${fillTriggerName} before insert on ${on} for each row execute function ${fill}()`,
      `create trigger ${moveTriggerName} before update on ${on} for each row when (${isMoved}) execute function ${fill}()`,
    ],
    dropTriggers: [
      `drop trigger if exists ${fillTriggerName} on ${on}`,
      `drop trigger if exists ${moveTriggerName} on ${on}`,
    ],
    dropFunction: `drop function if exists ${fill}()`,
  }
}
