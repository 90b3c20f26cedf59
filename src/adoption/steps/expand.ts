import { quoted } from '../../core/statements/column-plan.js'
import { type AdoptedSchema, type AdoptedTable } from '../adopted-schema.js'
import { closeHome, inHome, quarantineOf } from '../home.js'
import { organizationMaking, organizationOfRow } from './organizations.js'
import type { Step } from './step.js'
import { bodyOf, literal } from '../sql.js'

/** Adds `org_id` to every table, without rewriting one, and sees to it that new rows have it. */
export function expand(adopted: AdoptedSchema): Step {
  const { home, tables } = adopted
  const quarantined = tables.filter(({ isQuarantined }) => isQuarantined)
  const making = organizationMaking(adopted)
  const filling = tables.map((table) => fillTrigger(adopted, table))
  return {
    up: [
      `create schema ${quoted(home)}`,
      ...quarantined.map(({ name, on }) => `create table ${inHome(home, quarantineOf(name))} (like ${on})`),
      ...making.up,
      ...tables.flatMap((table, place) => [...addColumn(table), ...(filling[place]?.up ?? [])]),
      closeHome(home),
    ],
    down: [
      ...filling.toReversed().flatMap(({ down }) => down),
      ...tables
        .toReversed()
        .filter(({ hadColumn }) => !hadColumn)
        .map(({ on }) => `alter table ${on} drop column if exists org_id`),
      ...making.down,
      ...quarantined.map(({ name }) => `drop table if exists ${inHome(home, quarantineOf(name))}`),
      `drop schema if exists ${quoted(home)}`,
    ],
  }
}

function addColumn({ on, constant, hadColumn }: AdoptedTable): string[] {
  if (hadColumn) return []
  // A constant default is stored once, in the catalog.
  const fixed = constant === undefined ? '' : ` not null default ${literal(constant.id)}`
  return [`alter table ${on} add column org_id uuid${fixed}`]
}

// After the triggers of the table itself, which fire in the order of their names.
export const fillTriggerName = 'zz_tenantry_org_id'
const moveTriggerName = 'zz_tenantry_org_id_moves'

/** The triggers that give new rows of code which knows no organizations theirs, and rows that move that of their new parent. */
export function fillTrigger(adopted: AdoptedSchema, table: AdoptedTable): Step {
  const { name, on, owner, wayColumns } = table
  if (owner === undefined) return { up: [], down: [] }
  const organization = organizationOfRow(adopted, table)
  const fill = inHome(adopted.home, `fill_${name}`)
  // What other triggers have changed counts too, and so does what a foreign key writes.
  const isMoved = [
    ...wayColumns.map((column) => `old.${quoted(column)} is distinct from new.${quoted(column)}`),
    'old.org_id is not null and old.org_id is distinct from new.org_id',
  ].join(' or ')
  return {
    up: [
      `create function ${fill}() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as ${bodyOf(`
declare
  tenantry_found uuid;
begin
  if tg_op = 'INSERT' and new.org_id is not null then
    return new;
  end if;
  select ${organization.sql} into tenantry_found from (select new.*) t${organization.joins};
  -- A foreign key that cascades does not check the row again, so that setting it back would leave it dangling.
  if tg_op = 'UPDATE' and old.org_id is not null and new.org_id <> old.org_id and tenantry_found <> new.org_id then
    raise exception '%', ${literal(`a row of ${name} cannot move to another organization than its way leads to`)};
  end if;
  -- A row whose parent is gone stays in its organization.
  new.org_id := coalesce(tenantry_found, new.org_id, old.org_id);
  return new;
end`)}`,
      `create trigger ${fillTriggerName} before insert on ${on} for each row execute function ${fill}()`,
      `create trigger ${moveTriggerName} before update on ${on} for each row when (${isMoved}) execute function ${fill}()`,
    ],
    down: [
      `drop trigger if exists ${fillTriggerName} on ${on}`,
      `drop trigger if exists ${moveTriggerName} on ${on}`,
      `drop function if exists ${fill}()`,
    ],
  }
}
