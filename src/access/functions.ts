import { isLivePerson } from '../schema/users.js'

/**
 * A function that the migrations install. The start-up proof compares the database with this text. A change here also needs a
 * migration; a test compares the two.
 */
export interface SqlFunction {
  /** As regprocedure prints it: only the types of the arguments. */
  readonly signature: string
  readonly arguments: string
  readonly returns: string
  readonly volatility: 'stable' | 'volatile'
  /** Runs with the rights of the owner, so every name in it is qualified and its search_path is pinned. */
  readonly definer: boolean
  readonly rows?: number
  readonly settings: readonly string[]
  readonly executableBy: readonly ('tenantry_app' | 'tenantry_system')[]
  readonly body: string
}

const pinned = 'search_path=pg_catalog, pg_temp'
// If row security ever applies to the owner, the function fails instead of hiding rows.
const unfiltered = 'row_security=off'

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

/** The live organizations in which the bound person is an active member. */
const myOrganizations: SqlFunction = {
  signature: 'platform.my_organizations()',
  arguments: '',
  returns: 'table (id uuid, slug text, name text, role text, status text, auth_epoch integer)',
  volatility: 'stable',
  definer: true,
  rows: 8,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return query
    select o.id, o.slug, o.name, m.role, o.status, m.auth_epoch
    from platform.organization_members m
    join platform.organizations o on o.id = m.org_id
    join platform.users u on u.id = m.user_id
    where m.user_id = me and m.status = 'active' and m.deleted_at is null and o.deleted_at is null
      and ${isLivePerson('u')};
end
`,
}

/** The pending invitations to the bound person's confirmed address. */
const myInvitations: SqlFunction = {
  signature: 'platform.my_invitations()',
  arguments: '',
  returns:
    'table (org_id uuid, id uuid, organization_name text, organization_slug text, role text, expires_at timestamptz, created_at timestamptz)',
  volatility: 'stable',
  definer: true,
  rows: 4,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return query
    select i.org_id, i.id, o.name, o.slug, i.role, i.expires_at, i.created_at
    from platform.users u
    join platform.organization_invitations i on i.email = u.email
    join platform.organizations o on o.id = i.org_id
    where u.id = me and u.email_confirmed_at is not null and ${isLivePerson('u')}
      and i.accepted_at is null and i.declined_at is null and i.revoked_at is null
      and i.expires_at > pg_catalog.statement_timestamp()
      and o.status = 'active' and o.deleted_at is null;
end
`,
}

/**
 * The row of the bound person, who signs up. Their status, ban and deletion keep their defaults, so that nobody lifts a ban by
 * registering.
 */
const registerUser: SqlFunction = {
  signature: 'platform.register_user(uuid,text,boolean,text,text,text,text,text,text,jsonb)',
  arguments:
    'person uuid, address text, is_confirmed boolean, host_id text, handle text, first text, last text, avatar text, telephone text, more jsonb',
  returns: 'void',
  volatility: 'volatile',
  definer: true,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
begin
  if person is distinct from platform.current_user_id() then
    raise insufficient_privilege using message = 'another user is bound';
  end if;
  insert into platform.users
    (id, email, email_confirmed_at, external_id, username, first_name, last_name, avatar_url, phone, metadata)
  values (
    person, address, case when is_confirmed then pg_catalog.statement_timestamp() end, host_id, handle, first, last, avatar, telephone,
    coalesce(more, '{}')
  );
end
`,
}

/** The row of a service of the bound organization: a name without a person. Nobody can sign in as one. */
const registerService: SqlFunction = {
  signature: 'platform.register_service(uuid,text)',
  arguments: 'service uuid, title text',
  returns: 'void',
  volatility: 'volatile',
  definer: true,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
begin
  perform platform.current_org();
  insert into platform.users (id, email, first_name, kind)
  values (service, service::text || '@service.invalid', pg_catalog.left(title, 200), 'service');
end
`,
}

/** A member's rights: those of their role in the organization, and by project those of their role there. */
const rights = `
      array(
        select p.permission
        from platform.role_permissions p
        join platform.roles r on r.org_id = p.org_id and r.key = p.role_key
        where p.org_id = m.org_id and p.role_key = m.role and r.deleted_at is null and r.applies_to <> 'project'
        order by p.permission
      ),
      (
        select coalesce(pg_catalog.jsonb_object_agg(g.project_id, g.permissions), '{}')
        from (
          select pm.project_id, pg_catalog.jsonb_agg(p.permission order by p.permission) as permissions
          from platform.project_members pm
          join platform.roles r on r.org_id = pm.org_id and r.key = pm.role
          join platform.role_permissions p on p.org_id = pm.org_id and p.role_key = pm.role
          where pm.org_id = m.org_id and pm.user_id = m.user_id and r.deleted_at is null and r.applies_to <> 'organization'
          group by pm.project_id
        ) as g
      )`

/** The rights of an active member of the bound organization. No row for anybody else. */
const memberActor: SqlFunction = {
  signature: 'platform.member_actor(uuid)',
  arguments: 'person uuid',
  returns: 'table (kind text, role text, auth_epoch integer, permissions text[], projects jsonb)',
  volatility: 'stable',
  definer: true,
  rows: 1,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
declare
  org constant pg_catalog.uuid := platform.current_org();
begin
  return query
    select m.kind, m.role, m.auth_epoch, ${rights}
    from platform.organization_members m
    join platform.users u on u.id = m.user_id
    where m.org_id = org and m.user_id = person and m.status = 'active' and m.deleted_at is null
      and u.kind = m.kind and ${isLivePerson('u')};
end
`,
}

/**
 * The active organization of one of the bound person's sessions, and their rights there. No row when none was chosen, or when the
 * person has lost rights since.
 */
const sessionActor: SqlFunction = {
  signature: 'platform.session_actor(uuid)',
  arguments: 'session_id uuid',
  returns: 'table (org_id uuid, role text, auth_epoch integer, permissions text[], projects jsonb)',
  volatility: 'stable',
  definer: true,
  rows: 1,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return query
    select m.org_id, m.role, m.auth_epoch, ${rights}
    from platform.user_sessions s
    join platform.organizations o on o.id = s.active_org_id
    join platform.organization_members m on m.org_id = s.active_org_id and m.user_id = s.user_id
    join platform.users u on u.id = s.user_id
    where s.user_id = me and s.id = session_id and s.active_org_epoch = m.auth_epoch
      and s.revoked_at is null and s.expires_at > pg_catalog.statement_timestamp()
      and s.idle_expires_at > pg_catalog.statement_timestamp()
      and m.status = 'active' and m.deleted_at is null and o.status = 'active' and o.deleted_at is null
      and ${isLivePerson('u')};
end
`,
}

/** Looks up one id of a live row, and gives nothing else about it. */
const idBy = (name: string, argument: string, query: string): SqlFunction => ({
  signature: `platform.${name}(text)`,
  arguments: `${argument} text`,
  returns: 'uuid',
  volatility: 'stable',
  definer: true,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
begin
  return (${query});
end
`,
})

const userIdByEmail = idBy(
  'user_id_by_email',
  'address',
  `select u.id from platform.users u where u.email = address and ${isLivePerson('u')}`,
)

const userIdByExternalId = idBy(
  'user_id_by_external_id',
  'host_id',
  `select u.id from platform.users u where u.external_id = host_id and ${isLivePerson('u')}`,
)

const organizationIdBySlug = idBy(
  'organization_id_by_slug',
  'wanted',
  'select o.id from platform.organizations o where o.slug = wanted and o.deleted_at is null',
)

export const sqlFunctions: readonly SqlFunction[] = [
  currentOrg,
  currentUserId,
  enterOrg,
  enterUser,
  myOrganizations,
  userIdByEmail,
  userIdByExternalId,
  organizationIdBySlug,
  myInvitations,
  registerUser,
  registerService,
  memberActor,
  sessionActor,
]

/** The statement in the migration that creates it. */
export function createFunction(fn: SqlFunction): string {
  const name = fn.signature.slice(0, fn.signature.indexOf('('))
  const traits = [
    'language plpgsql',
    fn.volatility,
    ...(fn.definer ? ['security definer'] : ['parallel safe']),
    ...(fn.rows === undefined ? [] : [`rows ${fn.rows}`]),
    ...fn.settings.map((setting) => `set ${setting.replace('=', ' = ')}`),
  ]
  return `create function ${name}(${fn.arguments}) returns ${fn.returns}\n${traits.join(' ')} as $$${fn.body}$$;`
}
