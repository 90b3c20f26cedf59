import { sql } from 'drizzle-orm'
import { foreignKey, index, primaryKey, text, unique, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { agents } from '../../../src/schema/agents.js'
import { llms } from '../../../src/schema/llms.js'
import { createdAt, id, instant, literal, orgId, softDelete, timestamps } from '../../../src/schema/shared/columns.js'
import { tenantTable, userTable } from '../../../src/schema/shared/isolation.js'
import { columns, constraints, crm, declared, type PlantedFault } from './planted-fault.js'

const coded = () => ({ ...columns(), code: text('code').notNull() })

const readings = () => ({
  orgId: orgId(),
  id: id(),
  recordedAt: instant('recorded_at').notNull(),
  createdAt: createdAt(),
})
const partitioned = { kind: 'tenant', appendOnly: true, partitionedBy: 'recorded_at' } as const

export const keyFaults: PlantedFault[] = [
  {
    fault: 'no primary key',
    rule: 'primary-key',
    object: 'notes_pkey',
    exports: { notes: declared(crm.table('notes', columns(), (t) => tenantTable('notes', t))) },
  },
  {
    fault: 'the primary key does not begin with org_id',
    rule: 'primary-key',
    object: 'notes_pkey',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => [
          primaryKey({ name: 'notes_pkey', columns: [t.id, t.orgId] }),
          ...tenantTable('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'the primary key leaves out id',
    rule: 'primary-key',
    object: 'notes_pkey',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [
          primaryKey({ name: 'notes_pkey', columns: [t.orgId, t.code] }),
          ...tenantTable('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'one column more than (org_id, id) in the primary key',
    rule: 'primary-key',
    object: 'notes_pkey',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [
          primaryKey({ name: 'notes_pkey', columns: [t.orgId, t.code, t.id] }),
          ...tenantTable('notes', t),
        ]),
      ),
    },
  },
  {
    fault: "the primary key of a person's table begins with something else",
    rule: 'primary-key',
    object: 'devices_pkey',
    exports: {
      devices: declared(
        crm.table('devices', { userId: uuid('user_id').notNull(), id: id(), ...timestamps() }, (t) => [
          primaryKey({ name: 'devices_pkey', columns: [t.id, t.userId] }),
          ...userTable('devices', t),
        ]),
        { kind: 'user' },
      ),
    },
  },
  {
    fault: 'a catalog without a primary key',
    rule: 'primary-key',
    object: 'regions_pkey',
    exports: {
      regions: declared(crm.table('regions', { name: text('name').notNull(), ...timestamps() }), { kind: 'catalog' }),
    },
  },
  {
    fault: 'the database makes the id',
    rule: 'id',
    object: 'id',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), id: uuid('id').notNull().defaultRandom() }, (t) => constraints('notes', t)),
      ),
    },
  },
  {
    fault: 'the id is text',
    rule: 'id',
    object: 'id',
    exports: {
      notes: declared(crm.table('notes', { ...columns(), id: text('id').notNull() }, (t) => constraints('notes', t))),
    },
  },
  {
    fault: 'the partition column is not a column',
    rule: 'partition',
    object: 'recorded_at',
    exports: {
      notes: declared(
        crm.table('notes', { orgId: orgId(), id: id(), createdAt: createdAt() }, (t) => constraints('notes', t)),
        partitioned,
      ),
    },
  },
  {
    fault: 'the partition column is not in the primary key',
    rule: 'partition',
    object: 'recorded_at',
    exports: {
      readings: declared(
        crm.table('readings', readings(), (t) => constraints('readings', t)),
        partitioned,
      ),
    },
  },
  {
    fault: 'the partition column may be null',
    rule: 'partition',
    object: 'recorded_at',
    exports: {
      readings: declared(
        crm.table('readings', { ...readings(), recordedAt: instant('recorded_at') }, (t) => [
          primaryKey({ name: 'readings_pkey', columns: [t.orgId, t.recordedAt, t.id] }),
          ...tenantTable('readings', t),
        ]),
        partitioned,
      ),
    },
  },
  {
    fault: 'the partition column stands before what rows are looked up by',
    rule: 'partition',
    object: 'recorded_at',
    exports: {
      readings: declared(
        crm.table('readings', { ...readings(), sensor: text('sensor').notNull() }, (t) => [
          primaryKey({ name: 'readings_pkey', columns: [t.orgId, t.recordedAt, t.sensor, t.id] }),
          ...tenantTable('readings', t),
        ]),
        partitioned,
      ),
    },
  },
  {
    fault: 'the id stands before the partition column',
    rule: 'partition',
    object: 'recorded_at',
    exports: {
      readings: declared(
        crm.table('readings', readings(), (t) => [
          primaryKey({ name: 'readings_pkey', columns: [t.orgId, t.id, t.recordedAt] }),
          ...tenantTable('readings', t),
        ]),
        partitioned,
      ),
    },
  },
  {
    fault: 'a unique over all organizations',
    rule: 'owner-first',
    object: 'notes_code_key',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [unique('notes_code_key').on(t.code), ...constraints('notes', t)]),
      ),
    },
  },
  {
    fault: 'a unique index over all organizations, declared as a sweep',
    rule: 'owner-first',
    object: 'notes_code_key',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [uniqueIndex('notes_code_key').on(t.code), ...constraints('notes', t)]),
        { kind: 'tenant', sweeps: ['notes_code_key'] },
      ),
    },
  },
  {
    fault: 'a unique column',
    rule: 'owner-first',
    object: 'notes_code_key',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), code: text('code').notNull().unique('notes_code_key') }, (t) =>
          constraints('notes', t),
        ),
      ),
    },
  },
  {
    fault: 'an index over all organizations that nobody declared as a sweep',
    rule: 'owner-first',
    object: 'notes_code_idx',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [index('notes_code_idx').on(t.code), ...constraints('notes', t)]),
      ),
    },
  },
  {
    fault: 'an index that serves none of the references to catalogs',
    rule: 'owner-first',
    object: 'notes_code_idx',
    exports: {
      notes: declared(
        crm.table('notes', { ...coded(), llmId: uuid('llm_id').notNull() }, (t) => [
          foreignKey({ name: 'notes_llm_fkey', columns: [t.llmId], foreignColumns: [llms.id] }),
          index('notes_code_idx').on(t.code, t.llmId),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'an index over all people',
    rule: 'owner-first',
    object: 'devices_code_idx',
    exports: {
      devices: declared(
        crm.table(
          'devices',
          { userId: uuid('user_id').notNull(), id: id(), code: text('code').notNull(), ...timestamps() },
          (t) => [
            primaryKey({ name: 'devices_pkey', columns: [t.userId, t.id] }),
            index('devices_code_idx').on(t.code),
            ...userTable('devices', t),
          ],
        ),
        { kind: 'user' },
      ),
    },
  },
  {
    fault: 'an index on an expression',
    rule: 'plain-index',
    object: 'notes_code_idx',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [
          index('notes_code_idx').on(t.orgId, sql`lower(code)`),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'lower() in an index predicate',
    rule: 'plain-index',
    object: 'notes_code_idx',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [
          index('notes_code_idx').on(t.orgId, t.code).where(literal(`lower(code) = 'a'`)),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a descending index',
    rule: 'plain-index',
    object: 'notes_created_at_idx',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => [
          index('notes_created_at_idx').on(t.orgId, t.createdAt.desc()),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'an index with nulls first',
    rule: 'plain-index',
    object: 'notes_created_at_idx',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => [
          index('notes_created_at_idx').on(t.orgId, t.createdAt.nullsFirst()),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'an index that row security keeps from being used',
    rule: 'plain-index',
    object: 'notes_tags_idx',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), tags: text('tags').array().notNull() }, (t) => [
          index('notes_tags_idx').using('gin', t.tags),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a unique index that counts deleted rows',
    rule: 'soft-delete',
    object: 'notes_code_key',
    exports: {
      notes: declared(
        crm.table('notes', { ...coded(), ...softDelete() }, (t) => [
          uniqueIndex('notes_code_key').on(t.orgId, t.code).where(literal(`code <> ''`)),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: '`loose` names no column',
    rule: 'declarations',
    object: 'agent_id',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => constraints('notes', t)),
        {
          kind: 'tenant',
          loose: ['agent_id'],
        },
      ),
    },
  },
  {
    fault: '`loose` names a foreign key',
    rule: 'declarations',
    object: 'agent_id',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), agentId: uuid('agent_id').notNull() }, (t) => [
          foreignKey({
            name: 'notes_agent_fkey',
            columns: [t.orgId, t.agentId],
            foreignColumns: [agents.orgId, agents.id],
          }).onDelete('cascade'),
          index('notes_agent_idx').on(t.orgId, t.agentId),
          ...constraints('notes', t),
        ]),
        { kind: 'tenant', loose: ['agent_id'] },
      ),
    },
  },
  {
    fault: '`sweeps` names no index',
    rule: 'declarations',
    object: 'notes_due_idx',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => constraints('notes', t)),
        {
          kind: 'tenant',
          sweeps: ['notes_due_idx'],
        },
      ),
    },
  },
  {
    fault: '`sweeps` names an index of one organization',
    rule: 'declarations',
    object: 'notes_created_at_idx',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => [
          index('notes_created_at_idx').on(t.orgId, t.createdAt),
          ...constraints('notes', t),
        ]),
        { kind: 'tenant', sweeps: ['notes_created_at_idx'] },
      ),
    },
  },
  {
    fault: '`changes` names no column',
    rule: 'declarations',
    object: 'settled_at',
    exports: {
      notes: declared(
        crm.table('notes', { orgId: orgId(), id: id(), createdAt: createdAt() }, (t) => constraints('notes', t)),
        { kind: 'tenant', changes: ['settled_at'] },
      ),
    },
  },
]
