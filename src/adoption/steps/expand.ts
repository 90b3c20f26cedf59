import { quoted } from '../../core/statements/column-plan.js'
import { type AdoptedSchema, type AdoptedTable, literal } from '../adopted-schema.js'
import { inHome, quarantineOf } from '../home.js'
import { organizationMaking, organizationOfRow } from './organizations.js'
import { bodyOf, type Step } from './step.js'

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
    ],
    down: [
      ...filling.toReversed().flatMap(({ down }) => down),
      ...tables
        .toReversed()
        .filter(({ hadColumn }) => !hadColumn)
        .map(({ on }) => `alter table ${on} drop column org_id`),
      ...making.down,
      ...quarantined.map(({ name }) => `drop table ${inHome(home, quarantineOf(name))}`),
      `drop schema ${quoted(home)}`,
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
const triggerName = 'zz_tenantry_org_id'

/** The trigger that gives new rows of code which knows no organizations theirs. */
export function fillTrigger(adopted: AdoptedSchema, table: AdoptedTable): Step {
  const { name, on, owner, wayColumns } = table
  if (owner === undefined) return { up: [], down: [] }
  const organization = organizationOfRow(adopted, table)
  const fill = inHome(adopted.home, `fill_${name}`)
  const moves = wayColumns.length === 0 ? '' : ` or update of ${wayColumns.map(quoted).join(', ')}`
  return {
    up: [
      `create function ${fill}() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as ${bodyOf(`
begin
  if tg_op = 'INSERT' and new.org_id is not null then
    return new;
  end if;
  -- A row whose parent is gone stays in its organization.
  select coalesce(${organization.sql}, new.org_id) into new.org_id from (select new.*) t${organization.joins};
  return new;
end`)}`,
      `create trigger ${triggerName} before insert${moves} on ${on} for each row execute function ${fill}()`,
    ],
    down: [`drop trigger ${triggerName} on ${on}`, `drop function ${fill}()`],
  }
}
