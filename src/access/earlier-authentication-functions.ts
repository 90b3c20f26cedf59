import { isLivePerson } from '../schema/users.js'
import { pinned, type SqlFunction, unfiltered } from './sql-function.js'

// Only builds before `accept_session` and `accept_api_key` call these. The release after drops them.

// All that authentication writes is when and how often a key or a session was used, and under which pepper. The commit waits neither for
// the disk nor for a standby: a crash may lose the last second.
const withoutWaiting = 'set local synchronous_commit = off;'

/** The permissions of a role in the organization. */
const organizationRights = (org: string, role: string, and = ''): string => `array(
      select p.permission
      from platform.role_permissions p
      join platform.roles r on r.org_id = p.org_id and r.key = p.role_key
      where p.org_id = ${org} and p.role_key = ${role} and r.deleted_at is null and r.applies_to <> 'project'${and}
    )`

/** Those of the person's roles in projects, by project. Most people have none, and then nothing is joined. */
const projectRights = (org: string, person: string, and = ''): string => `
    if exists (select from platform.project_members pm where pm.org_id = ${org} and pm.user_id = ${person}) then
      select coalesce(pg_catalog.jsonb_object_agg(g.project_id, g.permissions), '{}') into projects
      from (
        select pm.project_id, pg_catalog.jsonb_agg(p.permission) as permissions
        from platform.project_members pm
        join platform.roles r on r.org_id = pm.org_id and r.key = pm.role
        join platform.role_permissions p on p.org_id = pm.org_id and p.role_key = pm.role
        where pm.org_id = ${org} and pm.user_id = ${person} and r.deleted_at is null and r.applies_to <> 'organization'${and}
        group by pm.project_id
      ) as g;
    end if;`

/**
 * The bound person's session with that token: its end and, where they may still act in the organization that it has chosen, their rights
 * there. Returns no row for an ended session, nor for a person who is suspended, banned or deleted. The use is noted when the last note is
 * older than a minute or than a tenth of the idle time, whichever is shorter.
 */
const authenticateSession: SqlFunction = {
  signature: 'platform.authenticate_session(uuid,bytea[],integer)',
  arguments: 'given_session uuid, given_hashes bytea[], given_idle integer',
  returns: 'table (expires_at timestamptz, org_id uuid, auth_epoch integer, permissions text[], projects jsonb)',
  volatility: 'volatile',
  definer: true,
  rows: 1,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
#variable_conflict use_column
declare
  me constant pg_catalog.uuid := platform.current_user_id();
  found_use pg_catalog.timestamptz;
  found_org pg_catalog.uuid;
  found_epoch pg_catalog.int4;
  found_role pg_catalog.text;
begin
  select s.expires_at, s.last_activity_at, s.active_org_id, s.active_org_epoch
  into expires_at, found_use, found_org, found_epoch
  from platform.user_sessions s
  join platform.users u on u.id = s.user_id
  where s.user_id = me and s.id = given_session and s.token_hash = any(given_hashes) and s.revoked_at is null
    and s.expires_at > pg_catalog.statement_timestamp() and s.idle_expires_at > pg_catalog.statement_timestamp()
    and ${isLivePerson('u')};
  if not found then
    return;
  end if;
  if found_use < pg_catalog.statement_timestamp() - least(60, given_idle / 10.0) * interval '1 second' then
    ${withoutWaiting}
    update platform.user_sessions s
    set last_activity_at = pg_catalog.statement_timestamp(), updated_at = pg_catalog.statement_timestamp(),
      idle_expires_at = least(s.expires_at, pg_catalog.statement_timestamp() + given_idle * interval '1 second')
    where s.user_id = me and s.id = given_session and s.revoked_at is null;
  end if;
  if found_org is not null then
    select m.role into found_role
    from platform.organization_members m
    join platform.organizations o on o.id = m.org_id
    where m.org_id = found_org and m.user_id = me and m.auth_epoch = found_epoch
      and m.status = 'active' and m.deleted_at is null and o.status = 'active' and o.deleted_at is null;
    if found then
      org_id := found_org;
      auth_epoch := found_epoch;
      permissions := ${organizationRights('found_org', 'found_role')};
      projects := '{}';${projectRights('found_org', 'me')}
    end if;
  end if;
  return next;
end
`,
}

/**
 * The key of the bound organization with that token, the rights that it has now, and what is left of its hour. `given_hashes` are the
 * hashes of the token under every pepper, the first of them under the active one. Returns no row for a key that is unknown, revoked or
 * expired, nor for one of a member who may not act. The use is counted, unless the key has no limit or has reached it; `used` is null
 * then. The moment is noted once a minute at most, and a key that was hashed under an older pepper is stored under the active one. It
 * runs with the rights of the application, so row security applies to it.
 */
const authenticateApiKey: SqlFunction = {
  signature: 'platform.authenticate_api_key(bytea[],text)',
  arguments: 'given_hashes bytea[], given_pepper text',
  returns:
    'table (id uuid, name text, auth_epoch integer, allowed integer, permissions text[], projects jsonb, retry_after integer, reset_at timestamptz, used integer)',
  volatility: 'volatile',
  definer: false,
  rows: 1,
  settings: [],
  executableBy: ['tenantry_app'],
  body: `
#variable_conflict use_column
declare
  found_org constant pg_catalog.uuid := platform.current_org();
  found_hour constant pg_catalog.timestamptz :=
    pg_catalog.date_bin('1 hour', pg_catalog.statement_timestamp(), timestamptz '2000-01-01 00:00:00+00');
  found_id pg_catalog.uuid;
  found_limit pg_catalog.int4;
  found_person pg_catalog.uuid;
  found_scopes pg_catalog.text[];
  found_use pg_catalog.timestamptz;
  found_pepper pg_catalog.text;
  found_role pg_catalog.text;
begin
  select k.id, k.name, k.auth_epoch, k.rate_limit_per_hour, k.user_id, k.scopes, k.last_used_at, k.pepper_id, m.role
  into found_id, name, auth_epoch, found_limit, found_person, found_scopes, found_use, found_pepper, found_role
  from platform.api_keys k
  join platform.organization_members m on m.org_id = found_org and m.user_id = k.user_id
  where k.org_id = found_org and k.key_hash = any(given_hashes) and k.deleted_at is null and k.status = 'active'
    and (k.expires_at is null or k.expires_at > pg_catalog.statement_timestamp())
    and (k.grace_until is null or k.grace_until > pg_catalog.statement_timestamp())
    and m.status = 'active' and m.deleted_at is null and m.auth_epoch = k.auth_epoch;
  if not found then
    return;
  end if;
  ${withoutWaiting}
  id := found_id;
  allowed := found_limit;
  reset_at := found_hour + interval '1 hour';
  retry_after := pg_catalog.ceil(extract(epoch from reset_at - pg_catalog.statement_timestamp()));
  if found_limit > 0 then
    -- All but the first use of an hour end here.
    update platform.api_key_windows w
    set used = w.used + 1, allowed = found_limit, updated_at = pg_catalog.statement_timestamp()
    where w.org_id = found_org and w.api_key_id = found_id and w.window_start = found_hour and w.used < found_limit
    returning w.used into used;
    if not found then
      insert into platform.api_key_windows as w (org_id, api_key_id, window_start, used, allowed)
      values (found_org, found_id, found_hour, 1, found_limit)
      on conflict (org_id, api_key_id, window_start) do update
        set used = w.used + 1, allowed = excluded.allowed, updated_at = excluded.updated_at
        where w.used < excluded.allowed
      returning w.used into used;
    end if;
  end if;
  if found_use is null or found_use < pg_catalog.statement_timestamp() - interval '1 minute' or found_pepper <> given_pepper then
    update platform.api_keys k
    set last_used_at = pg_catalog.statement_timestamp(), key_hash = given_hashes[1], pepper_id = given_pepper
    where k.org_id = found_org and k.id = found_id;
  end if;
  permissions := ${organizationRights('found_org', 'found_role', ' and p.permission = any(found_scopes)')};
  projects := '{}';${projectRights('found_org', 'found_person', '\n          and p.permission = any(found_scopes)')}
  return next;
end
`,
}

export const earlierAuthenticationFunctions: readonly SqlFunction[] = [authenticateSession, authenticateApiKey]
