import { sql } from 'drizzle-orm'
import { foreignKey, index, pgPolicy, pgRole, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { createdAt, id, orgId, platform, timestamps } from '../../../src/schema/shared/columns.js'
import { orgIsolation, systemAccess, tenantryApp, userAccess, userTable } from '../../../src/schema/shared/isolation.js'
import { organizations } from '../../../src/schema/organizations.js'
import { users } from '../../../src/schema/users.js'
import { columns, constraints, crm, declared, type PlantedFault } from './planted-fault.js'

const current = sql.raw('org_id = platform.current_org()')

const withPolicy = (...policies: ReturnType<typeof pgPolicy>[]) =>
  declared(
    crm.table('notes', columns(), (t) => {
      const [key, reference] = constraints('notes', t)
      return [key, reference, ...policies].filter((one) => one !== undefined)
    }),
  )

const isolation = (change: Partial<NonNullable<Parameters<typeof pgPolicy>[1]>>) =>
  withPolicy(
    pgPolicy('org_isolation', { to: tenantryApp, using: current, withCheck: current, ...change }),
    systemAccess(),
  )

export const isolationFaults: PlantedFault[] = [
  {
    fault: 'a table that was never declared',
    rule: 'declared',
    exports: { notes: crm.table('notes', columns(), (t) => constraints('notes', t)) },
  },
  {
    fault: 'org_id is not the first column',
    rule: 'owner-column',
    object: 'org_id',
    exports: {
      notes: declared(
        crm.table('notes', { id: id(), orgId: orgId(), ...timestamps() }, (t) => constraints('notes', t)),
      ),
    },
  },
  {
    fault: 'org_id may be null',
    rule: 'owner-column',
    object: 'org_id',
    exports: {
      notes: declared(crm.table('notes', { ...columns(), orgId: uuid('org_id') }, (t) => constraints('notes', t))),
    },
  },
  {
    fault: 'org_id is text',
    rule: 'owner-column',
    object: 'org_id',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), orgId: text('org_id').notNull() }, (t) => constraints('notes', t)),
      ),
    },
  },
  {
    fault: 'org_id has a default',
    rule: 'owner-column',
    object: 'org_id',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), orgId: orgId().defaultRandom() }, (t) => constraints('notes', t)),
      ),
    },
  },
  {
    fault: "user_id of a person's table is not the first column",
    rule: 'owner-column',
    object: 'user_id',
    exports: {
      devices: declared(
        crm.table('devices', { id: id(), userId: uuid('user_id').notNull(), ...timestamps() }, (t) => [
          primaryKey({ name: 'devices_pkey', columns: [t.userId, t.id] }),
          ...userTable('devices', t),
        ]),
        { kind: 'user' },
      ),
    },
  },
  {
    fault: 'org_id is no foreign key',
    rule: 'owner-reference',
    object: 'org_id',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => [
          primaryKey({ name: 'notes_pkey', columns: [t.orgId, t.id] }),
          orgIsolation(),
          systemAccess(),
        ]),
      ),
    },
  },
  {
    fault: 'rows do not go with their organization',
    rule: 'owner-reference',
    object: 'org_id',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => [
          primaryKey({ name: 'notes_pkey', columns: [t.orgId, t.id] }),
          foreignKey({ name: 'notes_org_fkey', columns: [t.orgId], foreignColumns: [organizations.id] }),
          orgIsolation(),
          systemAccess(),
        ]),
      ),
    },
  },
  {
    fault: 'org_id refers to something else',
    rule: 'owner-reference',
    object: 'org_id',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => [
          primaryKey({ name: 'notes_pkey', columns: [t.orgId, t.id] }),
          foreignKey({ name: 'notes_org_fkey', columns: [t.orgId], foreignColumns: [users.id] }).onDelete('cascade'),
          orgIsolation(),
          systemAccess(),
        ]),
      ),
    },
  },
  {
    fault: 'a table of an organization without a policy',
    rule: 'row-security',
    exports: { notes: withPolicy() },
  },
  {
    fault: 'row security without a policy',
    rule: 'row-security',
    exports: { notes: declared(withPolicy().enableRLS()) },
  },
  {
    fault: 'a global table without a policy',
    rule: 'row-security',
    exports: {
      jobs: declared(crm.table('jobs', { id: id().primaryKey(), ...timestamps() }), { kind: 'global' }),
    },
  },
  {
    fault: 'the system role is shut out',
    rule: 'policies',
    object: 'system_access',
    exports: { notes: withPolicy(orgIsolation()) },
  },
  {
    fault: 'the application is shut out',
    rule: 'policies',
    object: 'org_isolation',
    exports: { notes: withPolicy(systemAccess()) },
  },
  {
    fault: 'one policy more',
    rule: 'policies',
    object: 'shared_rows',
    exports: {
      notes: withPolicy(
        orgIsolation(),
        systemAccess(),
        pgPolicy('shared_rows', { to: tenantryApp, using: sql.raw('is_shared') }),
      ),
    },
  },
  {
    fault: 'a restrictive policy',
    rule: 'policies',
    object: 'org_isolation',
    exports: { notes: isolation({ as: 'restrictive' }) },
  },
  {
    fault: 'a policy for one command',
    rule: 'policies',
    object: 'org_isolation',
    exports: { notes: isolation({ for: 'select' }) },
  },
  {
    fault: 'a policy for everybody',
    rule: 'policies',
    object: 'org_isolation',
    exports: { notes: isolation({ to: 'public' }) },
  },
  {
    fault: 'a policy for one role more',
    rule: 'policies',
    object: 'org_isolation',
    exports: { notes: isolation({ to: ['tenantry_app', pgRole('support').existing()] }) },
  },
  {
    fault: 'a policy that opens to those who read',
    rule: 'policies',
    object: 'org_isolation',
    exports: { notes: isolation({ using: sql.raw('org_id = platform.current_org() or true') }) },
  },
  {
    fault: 'a policy that opens to those who write',
    rule: 'policies',
    object: 'org_isolation',
    exports: { notes: isolation({ withCheck: sql.raw('true') }) },
  },
  {
    fault: "a person's table that is bound to the organization",
    rule: 'policies',
    object: 'user_access',
    exports: {
      devices: declared(
        crm.table('devices', { userId: uuid('user_id').notNull(), id: id(), ...timestamps() }, (t) => [
          primaryKey({ name: 'devices_pkey', columns: [t.userId, t.id] }),
          foreignKey({ name: 'devices_user_fkey', columns: [t.userId], foreignColumns: [users.id] }).onDelete(
            'cascade',
          ),
          pgPolicy('user_access', { to: tenantryApp, using: current, withCheck: current }),
          systemAccess(),
        ]),
        { kind: 'user' },
      ),
    },
  },
  {
    fault: 'organizations are bound by another column',
    rule: 'policies',
    object: 'org_isolation',
    exports: {
      organizations: declared(
        platform.table('organizations', { id: id().primaryKey(), ...timestamps() }, () => [
          orgIsolation(),
          systemAccess(),
        ]),
        { kind: 'control' },
      ),
    },
  },
  {
    fault: 'users do not see themselves',
    rule: 'policies',
    object: 'user_access',
    exports: {
      users: declared(
        platform.table('users', { id: id().primaryKey(), ...timestamps() }, () => [systemAccess()]),
        { kind: 'global' },
      ),
    },
  },
  {
    fault: 'a global table that the application reads',
    rule: 'policies',
    object: 'user_access',
    exports: {
      jobs: declared(
        crm.table('jobs', { id: id().primaryKey(), ...timestamps() }, () => [userAccess('id'), systemAccess()]),
        { kind: 'global' },
      ),
    },
  },
  {
    fault: 'a catalog with a policy',
    rule: 'policies',
    object: 'system_access',
    exports: {
      regions: declared(
        crm.table('regions', { id: id().primaryKey(), ...timestamps() }, () => [systemAccess()]),
        { kind: 'catalog' },
      ),
    },
  },
  {
    fault: 'a catalog under row security',
    rule: 'catalog',
    exports: {
      regions: declared(crm.table('regions', { id: id().primaryKey(), ...timestamps() }).enableRLS(), {
        kind: 'catalog',
      }),
    },
  },
  {
    fault: 'a catalog that refers to a person',
    rule: 'catalog',
    object: 'regions_manager_fkey',
    exports: {
      regions: declared(
        crm.table('regions', { id: id().primaryKey(), managerId: uuid('manager_id'), ...timestamps() }, (t) => [
          foreignKey({
            name: 'regions_manager_fkey',
            columns: [t.managerId],
            foreignColumns: [users.id],
          }).onDelete('set null'),
          index('regions_manager_idx').on(t.managerId),
        ]),
        { kind: 'catalog' },
      ),
    },
  },
  {
    fault: 'a catalog with org_id',
    rule: 'stray-owner',
    object: 'org_id',
    exports: {
      regions: declared(
        crm.table('regions', { orgId: orgId(), id: id(), ...timestamps() }, (t) => [
          primaryKey({ name: 'regions_pkey', columns: [t.orgId, t.id] }),
        ]),
        { kind: 'catalog' },
      ),
    },
  },
  {
    fault: "a table with org_id that is declared as nobody's",
    rule: 'stray-owner',
    object: 'org_id',
    exports: {
      events: declared(
        crm.table('events', { orgId: orgId(), id: id(), createdAt: createdAt() }, (t) => [
          primaryKey({ name: 'events_pkey', columns: [t.orgId, t.id] }),
          systemAccess(),
        ]),
        { kind: 'global', appendOnly: true },
      ),
    },
  },
]

/** Neither key nor helper: what a table looks like whose author did not know. */
export const bareTable = declared(
  crm.table('notes', columns(), (t) => [primaryKey({ name: 'notes_pkey', columns: [t.orgId, t.id] })]),
)
