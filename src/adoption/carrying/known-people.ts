import { auditLogs, auditActions } from '../../schema/audit-logs.js'
import { featureFlags, organizationFeatureFlags } from '../../schema/feature-flags.js'
import { organizationMembers } from '../../schema/members.js'
import { organizations } from '../../schema/organizations.js'
import { projectMembers } from '../../schema/project-members.js'
import { projects } from '../../schema/projects.js'
import { users } from '../../schema/users.js'
import { inProject, type KnownTable } from './known-table.js'

const words = (list: readonly string[]) => list.map((word) => `'${word}'`).join(', ')

/** Whatever the collation of the column makes of a letter. */
const lower = (text: string) => `lower(${text} collate pg_catalog."default")`

/** As `create` of the repositories stores an address. */
const address = (column: string) => lower(`btrim(normalize(${column}::text, nfkc))`)

const addresses = `jsonb_strip_nulls(jsonb_build_object('postgres_meta_url', s.postgres_meta_url, 'supabase_url', s.supabase_url))`

/** People, organizations and projects, in the order in which they refer to each other. */
export const peopleBefore: readonly KnownTable[] = [
  {
    from: 'users',
    to: users,
    values: { email: address('s.email'), username: lower('s.username::text'), kind: `'person'` },
  },
  {
    from: 'organizations',
    to: organizations,
    values: {
      temporal_namespace: ['s.temporal_namespace', `'org-' || s.id`],
      allow_user_management: ['s.allow_user_management', 'true'],
      provision_key: [],
    },
  },
  {
    from: 'organization_members',
    to: organizationMembers,
    joins: 'join {schema}.users u on u.id = s.user_id',
    conditions: [
      { holds: 's.user_id is not null', otherwise: 'have no user: they were invited, and are to be invited again' },
    ],
    values: {
      org_id: 's.organization_id',
      email: address('u.email'),
      // Whoever was invited and has not joined is no active member.
      status: [
        's.status',
        `case when s.joined_at is null and s.invited_at is not null then 'inactive' else 'active' end`,
      ],
      joined_at: ['coalesce(s.joined_at, s.created_at)', 's.joined_at', 's.created_at'],
    },
  },
  {
    from: 'projects',
    to: projects,
    values: {
      org_id: 's.organization_id',
      status: `case s.status::text when 'ACTIVE_HEALTHY' then 'active' when 'ACTIVE_UNHEALTHY' then 'unhealthy' else lower(s.status::text) end`,
      // The addresses of its services have no columns of their own.
      metadata: [`coalesce(s.metadata, '{}')::jsonb || ${addresses}`, addresses, 's.metadata'],
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

/** The flag is on for the share of its rollout alone. */
const isPartial = 'coalesce(s.rollout_percentage, 0) between 1 and 99'

/** A text that names a row, as its id. */
const idIn = (column: string) =>
  `case when ${column}::text collate "C" ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then ${column}::uuid end`

// A shape without the column names its subject by a word and an id.
const organizationOfSubject = `case s.entity_type when 'organization' then (select o.id from {schema}.organizations o where o.id = ${idIn('s.entity_id')})
  when 'project' then (select p.organization_id from {schema}.projects p where p.id = ${idIn('s.entity_id')}) end`

/** Flags, and the audit log, which names everything else. */
export const recordsBefore: readonly KnownTable[] = [
  {
    from: 'feature_flags',
    to: featureFlags,
    values: {
      // There an override counts also while the flag is off; ours are off for everybody then.
      enabled: 'true',
      default_value: [`coalesce(s.enabled, false) and not (${isPartial})`, 's.enabled'],
      rollout_percentage: [`case when s.enabled and ${isPartial} then s.rollout_percentage else 0 end`, '0'],
    },
  },
  {
    from: 'organization_feature_flags',
    to: organizationFeatureFlags,
    values: { org_id: 's.organization_id' },
  },
  {
    from: 'audit_logs',
    to: auditLogs,
    conditions: [
      {
        holds: 's.organization_id is not null',
        instead: [`(${organizationOfSubject}) is not null`],
        otherwise: 'name no organization',
      },
    ],
    values: {
      org_id: ['s.organization_id', organizationOfSubject],
      // Who acted is not known where the person was deleted since.
      actor_kind: `case when s.user_id is null then 'anonymous' else 'user' end`,
      actor_id: 's.user_id',
      event_type: ['s.event_type', `s.entity_type || '.' || s.action`],
      action: `case when s.action::text in (${words(auditActions)}) then s.action::text else 'other' end`,
      resource_type: ['s.resource_type', 's.entity_type'],
      resource_id: ['s.resource_id', 's.entity_id'],
      seq: [],
      prev_hash: [],
      hash: [],
    },
  },
]
