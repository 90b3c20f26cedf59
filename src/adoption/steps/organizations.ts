import { quoted } from '../../core/statements/column-plan.js'
import { builtInRoles } from '../../schema/built-in-roles.js'
import type { AdoptedSchema, AdoptedTable, Constant, OrganizationSource } from '../adopted-schema.js'
import { withTakenId } from '../external-ids.js'
import { inHome, knownOrganizations } from '../home.js'
import type { Step } from './step.js'
import { bodyOf, literal } from '../sql.js'

/** Functions run with the rights of the owner, because the application may not write organizations. */
const definer = 'security definer set search_path = pg_catalog, pg_temp'

/** What makes organizations of rows, for as long as code writes that knows none, and keeps how far they have been filled. */
export function organizationMaking(adopted: AdoptedSchema): Step {
  const { home, constants, sources } = adopted
  const roots = sources.filter(({ isRoot }) => isRoot)
  return {
    up: [
      `create table ${inHome(home, 'backfill')} (table_name text primary key, last_key text[], rows bigint not null default 0,
  filled bigint not null default 0, unreached bigint not null default 0, is_done boolean not null default false)`,
      `create table ${knownOrganizations(home)} (key text primary key, org_id uuid not null)`,
      ...roleStatements(home),
      newId(home),
      isFreeFunction(home),
      isOfAnother(adopted),
      makeOrganization(adopted),
      organizationOf(adopted),
      // They write with the rights of the owner.
      `revoke execute on function ${inHome(home, 'organization')}(text, uuid, text, text, text) from public`,
      `revoke execute on function ${inHome(home, 'organization_of')}(text) from public`,
      `revoke execute on function ${inHome(home, 'is_of_another')}(uuid) from public`,
      ...constants.map((constant) => findConstant(adopted, constant)),
      ...roots.flatMap((root) => rootTrigger(home, root)),
      // Before rows ask for theirs, so that two writers do not make the same one and wait for each other.
      ...roots.map((root) => `select pg_catalog.count(${ofSource(home, root)}) from ${root.on} t`),
      ...sources.filter(({ isRoot }) => !isRoot).map((people) => findPeople(adopted, people)),
      `analyze ${knownOrganizations(home)}`,
    ],
    down: [
      ...roots.flatMap(({ on }) => [
        `drop trigger if exists ${rootTriggerName} on ${on}`,
        `drop function if exists ${inHome(home, 'mirror')}()`,
        `drop trigger if exists ${rootTriggerName}_id on ${on}`,
        `drop function if exists ${inHome(home, 'keep_id')}()`,
      ]),
      `drop function if exists ${inHome(home, 'organization_of')}(text)`,
      `drop function if exists ${inHome(home, 'organization')}(text, uuid, text, text, text)`,
      `drop function if exists ${inHome(home, 'is_of_another')}(uuid)`,
      `drop function if exists ${isFree(home)}(text)`,
      `drop function if exists ${inHome(home, 'new_id')}()`,
      `drop table if exists ${inHome(home, 'built_in_roles')}`,
      `drop table if exists ${knownOrganizations(home)}`,
      `drop table if exists ${inHome(home, 'backfill')}`,
    ],
  }
}

/** The call that finds the organization of row `t` of a source, or makes it. */
const ofSource = (home: string, { id, prefix }: OrganizationSource): string =>
  `${inHome(home, 'organization_of')}(${literal(prefix)} || t.${quoted(id.name)}::text)`

/** The organization of the default of `org_id` is the one that was planned. */
function findConstant({ home, tables }: AdoptedSchema, { key, id, slug }: Constant): string {
  const found = `${inHome(home, 'organization_of')}(${literal(key)})`
  if (!tables.some(({ constant }) => constant?.key === key)) return `select ${found}`
  return `do ${bodyOf(`
begin
  if ${found} <> ${literal(id)} then
    raise exception '%', ${literal(`since the plan another organization has got the slug ${slug}: undo this step with tenantry adopt down, and run tenantry adopt plan`)};
  end if;
end`)}`
}

/** Before `expand`: whether another customer has got an id of these rows as its external id since the plan, which asked for such ones. */
export const refuseTakenIds = ({ sources }: AdoptedSchema): string[] =>
  sources
    .filter(({ isRoot, externalIds }) => isRoot && externalIds === 'kept')
    .map(
      (source) =>
        `do ${bodyOf(`
begin
  if exists (select from ${withTakenId(source)}) then
    raise exception '%', ${literal(`since the plan, organizations have got an id of ${source.table.name} as their external id: run tenantry adopt plan again, which asks whether they are the same customers`)};
  end if;
end`)}`,
    )

/** People get an organization when a row needs it. Those that have one are found at once: the checks look only at what is known. */
const findPeople = ({ home, schema }: AdoptedSchema, people: OrganizationSource): string => {
  const id = `t.${quoted(people.id.name)}::text`
  return `select pg_catalog.count(${ofSource(home, people)}) from ${people.on} t
where exists (select from platform.organizations o where o.provision_key = ${literal(people.prefix)} || ${id})
  or exists (select from platform.organizations o where o.external_id = ${externalOf(schema, people, id)} and o.deleted_at is null)`
}

const externalOf = (schema: string, { table, externalIds }: OrganizationSource, id: string): string =>
  ({ none: 'null', same: id, kept: id, named: `${literal(`${schema}.${table.name}:`)} || ${id}` })[externalIds]

/**
 * Joins to row `t`, and with them the id of its organization as a uuid, and whether its way reaches one. `makes` says whether an organization
 * that is not there yet is made.
 */
export function organizationOfRow(
  adopted: AdoptedSchema,
  { owner }: Pick<AdoptedTable, 'owner'>,
  { makes } = { makes: true },
): { joins: string; sql: string; reaches: string } {
  if (owner === undefined) return { joins: '', sql: 'null::uuid', reaches: 'false' }
  const { joins, sql: key, id } = owner
  const reaches = `(${key}) is not null`
  const rootIsUuid = adopted.sources.some((source) => source.isRoot && source.id.type === 'uuid')
  if (id !== undefined && rootIsUuid) return { joins, sql: `(${id})::uuid`, reaches }
  // An organization that is gone is known no more.
  const known = `left join (${knownOrganizations(adopted.home)} known join platform.organizations organization on organization.id = known.org_id) on known.key = (${key})`
  return {
    joins: `${joins} ${known}`,
    sql: makes ? `coalesce(known.org_id, ${inHome(adopted.home, 'organization_of')}(${key}))` : 'known.org_id',
    reaches,
  }
}

// After the triggers of the table itself, which fire in the order of their names.
const rootTriggerName = 'zz_tenantry_organization'

const rootTrigger = (home: string, { on, id, prefix }: OrganizationSource): string[] => [
  `create function ${inHome(home, 'mirror')}() returns trigger language plpgsql ${definer} as ${bodyOf(`
begin
  perform ${inHome(home, 'organization_of')}(${literal(prefix)} || new.${quoted(id.name)}::text);
  return null;
end`)}`,
  `create trigger ${rootTriggerName} after insert on ${on} for each row execute function ${inHome(home, 'mirror')}()`,
  // With another id the rows that refer to it would belong to another organization.
  `create function ${inHome(home, 'keep_id')}() returns trigger language plpgsql ${definer} as ${bodyOf(`
begin
  raise exception 'the id of a row that is an organization cannot be changed while its tables are adopted';
end`)}`,
  `create trigger ${rootTriggerName}_id before update on ${on} for each row
  when (old.${quoted(id.name)} is distinct from new.${quoted(id.name)}) execute function ${inHome(home, 'keep_id')}()`,
]

function roleStatements(home: string): string[] {
  const table = inHome(home, 'built_in_roles')
  const rows = builtInRoles.map(
    ({ key, name, description, appliesTo, permissions }) =>
      `(${[key, name, description, appliesTo].map(literal).join(', ')}, array[${permissions.map(literal).join(', ')}]::text[])`,
  )
  return [
    `create table ${table} (key text primary key, name text not null, description text not null, applies_to text not null, permissions text[] not null)`,
    `insert into ${table} values\n  ${rows.join(',\n  ')}`,
  ]
}

/** A UUIDv7: the milliseconds of the clock, and random bits. */
const newId = (home: string) =>
  `create function ${inHome(home, 'new_id')}() returns uuid language sql volatile set search_path = pg_catalog, pg_temp as ${bodyOf(`
  select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
`)}`

/** The slug that an organization gets by these expressions, where no other one has it. */
export const slugOf = (slug: string, name: string): string =>
  `pg_catalog.btrim(pg_catalog.left(pg_catalog.regexp_replace(pg_catalog.lower(coalesce(${slug}, ${name}, '')), '[^a-z0-9]+', '-', 'g'), 50), '-')`

const isFree = (home: string) => inHome(home, 'is_free')

/** As many locks as the smallest server has room for beside those of others. */
const mostReserved = 1000

/**
 * Reserves a name until the end of the transaction, and tells whether no open transaction has done so. Without it, writers that make
 * organizations of one name would wait for each other. A transaction that makes very many reserves the first ones alone.
 */
const isFreeFunction = (home: string) =>
  `create function ${isFree(home)}(wanted text) returns boolean language plpgsql set search_path = pg_catalog, pg_temp as ${bodyOf(`
declare
  reserved constant int := coalesce(nullif(current_setting('tenantry.reserved_names', true), ''), '0')::int;
begin
  if reserved >= ${mostReserved} then
    return true;
  end if;
  perform set_config('tenantry.reserved_names', (reserved + 1)::text, true);
  return pg_try_advisory_xact_lock(hashtextextended('tenantry organization ' || wanted, 0));
end`)}`

/** Returns the organization of a key, and makes it once. A name or a slug that is taken, or that an open transaction takes, gets a few letters more. */
const makeOrganization = ({
  home,
}: AdoptedSchema) => `create function ${inHome(home, 'organization')}(wanted text, wanted_id uuid, external text, wanted_name text, wanted_slug text)
returns uuid language plpgsql ${definer} as ${bodyOf(`
#variable_conflict use_variable
declare
  made uuid;
  made_by text;
  digest constant text := left(md5(wanted), 8);
  new_name text;
  new_slug text;
begin
  for attempt in 1..10 loop
    select o.id into made from platform.organizations o
    where o.provision_key = wanted or o.id = wanted_id;
    if found then
      return made;
    end if;
    select o.id, coalesce(o.provision_key, '') into made, made_by from platform.organizations o
    where o.external_id = external and o.deleted_at is null and o.provision_key is distinct from wanted;
    if found then
      -- The application has made it for this row, unless it belongs to a row of another adoption.
      if starts_with(made_by, 'adopt ') or ${inHome(home, 'is_of_another')}(made) then
        raise exception 'the organization with the external id % belongs to another adoption: undo the steps with tenantry adopt down --all, and plan again with "externalIds": "none"', external;
      end if;
      return made;
    end if;
    new_name := coalesce(nullif(btrim(left(wanted_name, 150)), ''), 'Organization ' || digest);
    if not ${isFree(home)}('name ' || lower(new_name)) or exists (select from platform.organizations o where o.name_key = lower(new_name) and o.deleted_at is null) then
      new_name := new_name || ' (' || digest || ')';
    end if;
    new_slug := ${slugOf('wanted_slug', 'wanted_name')};
    if new_slug = '' then
      new_slug := 'org-' || digest;
    elsif not ${isFree(home)}('slug ' || new_slug) or exists (select from platform.organizations o where o.slug = new_slug and o.deleted_at is null) then
      new_slug := new_slug || '-' || digest;
    end if;
    begin
      made := coalesce(wanted_id, ${inHome(home, 'new_id')}());
      insert into platform.organizations (id, name, slug, external_id, temporal_namespace, allow_user_management, provision_key)
      values (made, new_name, new_slug, external, 'org-' || made, true, wanted);
      insert into platform.roles (org_id, id, key, name, description, applies_to, built_in)
      select made, ${inHome(home, 'new_id')}(), r.key, r.name, r.description, r.applies_to, true from ${inHome(home, 'built_in_roles')} r;
      insert into platform.role_permissions (org_id, role_key, permission)
      select made, r.key, p.key from ${inHome(home, 'built_in_roles')} r join platform.permissions p on p.key = any (r.permissions);
      insert into platform.role_permissions (org_id, role_key, permission)
      select made, r.key, p.key from platform_migrations.inventory i join platform.permissions p on p.key = i.name
      cross join lateral jsonb_array_elements_text(i.facts -> 'roles') g(role) join ${inHome(home, 'built_in_roles')} r on r.key = g.role
      where i.what = 'permission' on conflict do nothing;
      return made;
    exception when unique_violation then
      null; -- Another session was faster, with this row or with its name.
    end;
  end loop;
  -- Such as for a transaction that does not see what another has made: it is to be repeated.
  raise exception 'no organization could be made of %', wanted using errcode = '40001';
end`)}`

/** Null where the row is not there. */
function organizationOf(adopted: AdoptedSchema): string {
  const { home, sources, constants } = adopted
  const find = (source: OrganizationSource) => {
    const text = (column: string | undefined) => (column === undefined ? 'null' : `t.${quoted(column)}::text`)
    const own = source.isRoot && source.id.type === 'uuid' ? `t.${quoted(source.id.name)}` : 'null'
    const external = externalOf(adopted.schema, source, 'row_id')
    const found = `${inHome(home, 'organization')}(wanted, ${own}, ${external}, ${text(source.name)}, ${text(source.slug)})`
    const make = `select ${found} into made from ${source.on} t where t.${quoted(source.id.name)} = row_id::${source.id.type};`
    if (source.externalIds !== 'same') return make
    return `select o.id into made from platform.organizations o where o.external_id = row_id and o.deleted_at is null;
    if not found then
      ${make}
    end if;`
  }
  const branches = [
    ...constants.map(
      ({ key, id, name, slug }) => `if wanted = ${literal(key)} then
    select o.id into made from platform.organizations o
    where (o.id = ${literal(id)} or o.slug = ${literal(slug)}) and o.deleted_at is null order by o.id <> ${literal(id)} limit 1;
    if not found then
      made := ${inHome(home, 'organization')}(wanted, ${literal(id)}, null, ${literal(name)}, ${literal(slug)});
    end if;
  end if;`,
    ),
    ...sources.map(
      (source) => `if starts_with(wanted, ${literal(source.prefix)}) then
    row_id := substr(wanted, length(${literal(source.prefix)}) + 1);
    ${find(source)}
  end if;`,
    ),
  ]
  return `create function ${inHome(home, 'organization_of')}(wanted text) returns uuid language plpgsql strict ${definer} as ${bodyOf(`
#variable_conflict use_variable
declare
  made uuid;
  row_id text;
begin
  select k.org_id into made from ${knownOrganizations(home)} k join platform.organizations o on o.id = k.org_id where k.key = wanted;
  if found then
    return made;
  end if;
  ${branches.join('\n  ')}
  if made is null then
    return null;
  end if;
  insert into ${knownOrganizations(home)} as k (key, org_id) values (wanted, made)
  on conflict (key) do update set org_id = excluded.org_id
  where not exists (select from platform.organizations o where o.id = k.org_id);
  -- Another session may have been faster.
  select k.org_id into made from ${knownOrganizations(home)} k where k.key = wanted;
  return made;
end`)}`
}

/** Whether an adoption of another schema, which is under way, has found the organization for a row of its own. */
const isOfAnother = ({ home }: AdoptedSchema) =>
  `create function ${inHome(home, 'is_of_another')}(organization uuid) returns boolean language plpgsql ${definer} as ${bodyOf(`
declare
  place text;
  is_known boolean;
begin
  for place in
    select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relname = 'organizations_of' and c.relkind = 'r' and starts_with(n.nspname, 'tenantry_adopt_') and n.nspname <> ${literal(home)}
      and pg_get_userbyid(c.relowner) = current_user
  loop
    begin
      execute format('select exists (select from %s k where k.org_id = $1)', place) into is_known using organization;
      if is_known then
        return true;
      end if;
    exception when undefined_table or invalid_schema_name then
      null; -- Its adoption has just been undone.
    end;
  end loop;
  return false;
end`)}`
