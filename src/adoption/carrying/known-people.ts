import { auditLogs, auditActions } from '../../schema/audit-logs.js'
import { featureFlags, organizationFeatureFlags } from '../../schema/feature-flags.js'
import { organizationMembers } from '../../schema/members.js'
import { organizations } from '../../schema/organizations.js'
import { projectMembers } from '../../schema/project-members.js'
import { projects } from '../../schema/projects.js'
import { users } from '../../schema/users.js'
import { inProject, type KnownTable } from './known-table.js'

const words = (list: readonly string[]) => list.map((word) => `'${word}'`).join(', ')

/** People, organizations and projects, in the order in which they refer to each other. */
export const peopleBefore: readonly KnownTable[] = [
  { from: 'users', to: users, values: { email: 'lower(s.email)', username: 'lower(s.username)', kind: `'person'` } },
  {
    from: 'organizations',
    to: organizations,
    values: { temporal_namespace: `'org-' || s.id`, allow_user_management: 'true', status: [], provision_key: [] },
  },
  {
    from: 'organization_members',
    to: organizationMembers,
    joins: 'join {schema}.users u on u.id = s.user_id',
    values: { org_id: 's.organization_id', email: 'lower(u.email)' },
  },
  {
    from: 'projects',
    to: projects,
    values: {
      org_id: 's.organization_id',
      status: `case s.status when 'ACTIVE_HEALTHY' then 'active' when 'ACTIVE_UNHEALTHY' then 'unhealthy' else lower(s.status) end`,
      // The addresses of its services have no columns of their own.
      metadata: [
        `s.metadata || jsonb_strip_nulls(jsonb_build_object('postgres_meta_url', s.postgres_meta_url, 'supabase_url', s.supabase_url))`,
        `jsonb_strip_nulls(jsonb_build_object('postgres_meta_url', s.postgres_meta_url, 'supabase_url', s.supabase_url))`,
        's.metadata',
      ],
    },
    sealed: { database_password: 'database_password' },
  },
  {
    from: 'project_members',
    to: projectMembers,
    joins: inProject,
    values: { org_id: 'p.organization_id' },
  },
]

/** Flags, and the audit log, which names everything else. */
export const recordsBefore: readonly KnownTable[] = [
  { from: 'feature_flags', to: featureFlags, values: { default_value: [] } },
  {
    from: 'organization_feature_flags',
    to: organizationFeatureFlags,
    values: { org_id: 's.organization_id' },
  },
  {
    from: 'audit_logs',
    to: auditLogs,
    where: { holds: 's.organization_id is not null', otherwise: 'name no organization' },
    values: {
      org_id: [
        's.organization_id',
        // A shape without the column names its subject by a word and an id.
        `case s.entity_type when 'organization' then (select o.id from {schema}.organizations o where o.id::text = s.entity_id)
          when 'project' then (select p.organization_id from {schema}.projects p where p.id::text = s.entity_id) end`,
      ],
      actor_kind: `case when s.user_id is null then 'system' else 'user' end`,
      actor_id: 's.user_id',
      event_type: ['s.event_type', `s.entity_type || '.' || s.action`],
      action: `case when s.action in (${words(auditActions)}) then s.action else 'other' end`,
      resource_type: ['s.resource_type', 's.entity_type'],
      resource_id: ['s.resource_id', 's.entity_id'],
      seq: [],
      prev_hash: [],
      hash: [],
    },
  },
]
