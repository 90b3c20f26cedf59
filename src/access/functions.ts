import { authenticationFunctions } from './authentication-functions.js'
import { earlierAuthenticationFunctions } from './earlier-authentication-functions.js'
import { peopleFunctions } from './people-functions.js'
import { pinned, type SqlFunction } from './sql-function.js'

/**
 * The bound organization. STABLE, so that a statement calls it once. The setting is cast, never the column, which would lose the
 * index.
 */
const currentOrg: SqlFunction = {
  signature: 'platform.current_org()',
  arguments: '',
  returns: 'uuid',
  volatility: 'stable',
  definer: false,
  settings: [],
  executableBy: ['tenantry_app', 'tenantry_system'],
  body: `
declare
  -- A setting of an ended transaction reads as '', not as null.
  bound constant pg_catalog.uuid := nullif(pg_catalog.current_setting('tenantry.org_id', true), '')::pg_catalog.uuid;
begin
  if bound is null then
    raise insufficient_privilege using message = 'no organization is bound';
  end if;
  return bound;
end
`,
}

const currentUserId: SqlFunction = {
  signature: 'platform.current_user_id()',
  arguments: '',
  returns: 'uuid',
  volatility: 'stable',
  definer: false,
  settings: [],
  executableBy: ['tenantry_app', 'tenantry_system'],
  body: `
declare
  bound constant pg_catalog.uuid := nullif(pg_catalog.current_setting('tenantry.user_id', true), '')::pg_catalog.uuid;
begin
  if bound is null then
    raise insufficient_privilege using message = 'no user is bound';
  end if;
  return bound;
end
`,
}

/** Binds the transaction to one live, active organization. A second one is refused. */
const enterOrg: SqlFunction = {
  signature: 'platform.enter_org(uuid)',
  arguments: 'org uuid',
  returns: 'void',
  volatility: 'volatile',
  definer: true,
  settings: [pinned],
  executableBy: ['tenantry_app'],
  body: `
declare
  bound text;
begin
  -- Every call runs this check, so it is kept short. The checks below only find the reason for a refusal.
  if coalesce(pg_catalog.current_setting('tenantry.org_id', true), '') = ''
    and coalesce(pg_catalog.current_setting('tenantry.user_id', true), '') = '' then
    -- A Citus cluster passes only SET LOCAL on to its workers, which takes longer than set_config.
    if pg_catalog.current_setting('citus.shard_count', true) is null then
      select pg_catalog.set_config('tenantry.org_id', o.id::text, true) into bound
        from platform.organizations o where o.id = org and o.deleted_at is null and o.status = 'active';
      if bound is not null then
        return;
      end if;
    elsif exists (select from platform.organizations o where o.id = org and o.deleted_at is null and o.status = 'active') then
      execute pg_catalog.format('set local tenantry.org_id = %L', org);
      return;
    end if;
  end if;
  if org is null then
    raise null_value_not_allowed using message = 'an organization id is needed';
  end if;
  bound := coalesce(pg_catalog.current_setting('tenantry.org_id', true), '');
  if bound = org::text then
    return;
  end if;
  if bound <> '' then
    raise insufficient_privilege using message = 'another organization is bound';
  end if;
  if coalesce(pg_catalog.current_setting('tenantry.user_id', true), '') <> '' then
    raise insufficient_privilege using message = 'a user is bound';
  end if;
  if exists (select from platform.organizations o where o.id = org and o.deleted_at is null) then
    raise exception using errcode = 'TN002', message = 'the organization is suspended';
  end if;
  raise exception using errcode = 'TN001', message = 'no such organization';
end
`,
}

/** Binds the transaction to one person, who need not exist: whoever registers is bound before their row is written. */
const enterUser: SqlFunction = {
  signature: 'platform.enter_user(uuid)',
  arguments: 'person uuid',
  returns: 'void',
  volatility: 'volatile',
  definer: true,
  settings: [pinned],
  executableBy: ['tenantry_app'],
  body: `
declare
  bound constant text := coalesce(pg_catalog.current_setting('tenantry.user_id', true), '');
begin
  if person is null then
    raise null_value_not_allowed using message = 'a user id is needed';
  end if;
  if bound = person::text then
    return;
  end if;
  if bound <> '' then
    raise insufficient_privilege using message = 'another user is bound';
  end if;
  if coalesce(pg_catalog.current_setting('tenantry.org_id', true), '') <> '' then
    raise insufficient_privilege using message = 'an organization is bound';
  end if;
  if pg_catalog.current_setting('citus.shard_count', true) is null then
    perform pg_catalog.set_config('tenantry.user_id', person::text, true);
  else
    execute pg_catalog.format('set local tenantry.user_id = %L', person);
  end if;
end
`,
}

/**
 * Refuses a write for which the plan leaves no room. It reads no table: the statement counts. What was counted after waiting for a lock
 * is right in read committed alone.
 */
const assertRoom: SqlFunction = {
  signature: 'platform.assert_room(text,numeric,numeric,numeric)',
  arguments: 'limit_name text, allowed numeric, used numeric, added numeric',
  returns: 'void',
  volatility: 'volatile',
  definer: false,
  settings: [],
  executableBy: ['tenantry_app'],
  body: `
begin
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'TN004', message = 'plan limits are counted in read committed';
  end if;
  if added > 0 and used + added > allowed then
    raise exception using errcode = 'TN003', message = pg_catalog.format('%s: %s allowed, %s in use', limit_name, allowed, used);
  end if;
end
`,
}

export const sqlFunctions: readonly SqlFunction[] = [
  currentOrg,
  currentUserId,
  enterOrg,
  enterUser,
  ...peopleFunctions,
  assertRoom,
  ...authenticationFunctions,
  ...earlierAuthenticationFunctions,
]
