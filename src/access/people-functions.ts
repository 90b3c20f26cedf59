import { isLivePerson } from '../schema/users.js'
import { pinned, type SqlFunction, unfiltered } from './sql-function.js'

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

/**
 * The row of a service of the bound organization: a name without a person. Nobody can sign in as one. Builds before `add_service` need it.
 */
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

/**
 * A service of the bound organization and its membership, both written by the owner: only the owner may write users, and a Citus cluster
 * takes from one role only what a transaction writes to tables that are on every node. The application may insert the membership itself;
 * the user is one in whose name nobody can sign in.
 */
const addService: SqlFunction = {
  signature: 'platform.add_service(uuid,text,uuid,text)',
  arguments: 'service uuid, title text, member uuid, given_role text',
  returns:
    'table (org_id uuid, id uuid, user_id uuid, email text, display_name text, role text, kind text, status text, invited_at timestamptz, ' +
    'invited_by uuid, joined_at timestamptz, auth_epoch integer, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz)',
  volatility: 'volatile',
  definer: true,
  rows: 1,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
declare
  org constant pg_catalog.uuid := platform.current_org();
  address constant pg_catalog.text := service::text || '@service.invalid';
begin
  insert into platform.users (id, email, first_name, kind) values (service, address, pg_catalog.left(title, 200), 'service');
  return query
    insert into platform.organization_members as m (org_id, id, user_id, email, display_name, role, kind)
    values (org, member, service, address, title, given_role, 'service')
    returning m.org_id, m.id, m.user_id, m.email, m.display_name, m.role, m.kind, m.status, m.invited_at, m.invited_by, m.joined_at, m.auth_epoch,
      m.created_at, m.updated_at, m.deleted_at;
end
`,
}

/**
 * The epoch of the bound person in one organization: null where it is not active, or they are no active member. A Citus cluster calls it
 * on the coordinator, before it sends a statement in which no column is among the arguments.
 */
const myEpochIn: SqlFunction = {
  signature: 'platform.my_epoch_in(uuid)',
  arguments: 'org uuid',
  returns: 'int4',
  volatility: 'stable',
  definer: true,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
declare
  me constant pg_catalog.uuid := platform.current_user_id();
begin
  return (
    select m.auth_epoch
    from platform.organization_members m
    join platform.organizations o on o.id = m.org_id
    join platform.users u on u.id = m.user_id
    where m.org_id = org and m.user_id = me and m.status = 'active' and m.deleted_at is null
      and o.status = 'active' and o.deleted_at is null and ${isLivePerson('u')}
  );
end
`,
}

/**
 * A member's rights: those of their role in the organization, and by project those of their role there. `org` is the organization. A
 * Citus cluster needs one value for all tables: it does not follow the column of another one.
 */
const rights = (org: string): string => `
      array(
        select p.permission
        from platform.role_permissions p
        join platform.roles r on r.org_id = p.org_id and r.key = p.role_key
        where p.org_id = ${org} and p.role_key = m.role and r.deleted_at is null and r.applies_to <> 'project'
        order by p.permission
      ),
      (
        select coalesce(pg_catalog.jsonb_object_agg(g.project_id, g.permissions), '{}')
        from (
          select pm.project_id, pg_catalog.jsonb_agg(p.permission order by p.permission) as permissions
          from platform.project_members pm
          join platform.roles r on r.org_id = pm.org_id and r.key = pm.role
          join platform.role_permissions p on p.org_id = pm.org_id and p.role_key = pm.role
          where pm.org_id = ${org} and pm.user_id = m.user_id and r.deleted_at is null and r.applies_to <> 'organization'
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
    select m.kind, m.role, m.auth_epoch, ${rights('org')}
    from platform.organization_members m
    join platform.users u on u.id = m.user_id
    where m.org_id = org and m.user_id = person and m.status = 'active' and m.deleted_at is null
      and u.kind = m.kind and ${isLivePerson('u')};
end
`,
}

/**
 * The active organization of one of the bound person's sessions, and their rights there. No row when none was chosen, or when the
 * person has lost rights since. Builds before `authenticate_session` need it.
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
    select m.org_id, m.role, m.auth_epoch, ${rights('m.org_id')}
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

/** Whether the person is an active member of the bound organization, and neither suspended, banned nor deleted. */
const isLiveMember: SqlFunction = {
  signature: 'platform.is_live_member(uuid)',
  arguments: 'person uuid',
  // As pg_type has it: the proof compares the names.
  returns: 'bool',
  volatility: 'stable',
  definer: true,
  settings: [pinned, unfiltered],
  executableBy: ['tenantry_app'],
  body: `
declare
  org constant pg_catalog.uuid := platform.current_org();
begin
  return exists (
    select from platform.organization_members m
    join platform.users u on u.id = m.user_id
    where m.org_id = org and m.user_id = person and m.status = 'active' and m.deleted_at is null
      and u.kind = m.kind and ${isLivePerson('u')}
  );
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

/** The functions about people, in the order of the migrations. */
export const peopleFunctions: readonly SqlFunction[] = [
  myOrganizations,
  userIdByEmail,
  userIdByExternalId,
  organizationIdBySlug,
  myInvitations,
  registerUser,
  registerService,
  memberActor,
  sessionActor,
  isLiveMember,
  addService,
  myEpochIn,
]
