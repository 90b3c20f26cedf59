import { type AnyPgColumn, foreignKey, index, text, unique, uuid } from 'drizzle-orm/pg-core'
import { agents } from '../../../src/schema/agents.js'
import { llms } from '../../../src/schema/llms.js'
import { userSessions } from '../../../src/schema/sessions.js'
import { id, literal } from '../../../src/schema/shared/columns.js'
import { attributedTo, attribution } from '../../../src/schema/shared/references.js'
import type { TableFacts } from '../../../src/schema/shared/kinds.js'
import { users } from '../../../src/schema/users.js'
import { columns, constraints, crm, declared, type PlantedFault } from './planted-fault.js'

type Action = 'cascade' | 'restrict' | 'no action' | 'set null' | 'set default'

/** A note on an agent, with the key and the index that it takes. */
const noteOnAgent = (agentId: 'optional' | 'required', onDelete: Action, onUpdate: Action = 'no action') =>
  declared(
    crm.table(
      'notes',
      { ...columns(), agentId: agentId === 'required' ? uuid('agent_id').notNull() : uuid('agent_id') },
      (t) => [
        foreignKey({
          name: 'notes_agent_fkey',
          columns: [t.orgId, t.agentId],
          foreignColumns: [agents.orgId, agents.id],
        })
          .onDelete(onDelete)
          .onUpdate(onUpdate),
        index('notes_agent_idx').on(t.orgId, t.agentId),
        ...constraints('notes', t),
      ],
    ),
  )

const attributed = (
  column = attribution('created_by'),
  keys = (createdBy: AnyPgColumn, orgId: AnyPgColumn) => attributedTo('notes', createdBy, orgId),
) =>
  declared(
    crm.table('notes', { ...columns(), createdBy: column }, (t) => [
      ...keys(t.createdBy, t.orgId),
      ...constraints('notes', t),
    ]),
  )

const unknownTable = crm.table('contacts', { id: id().primaryKey() })

const noteWith = (
  indexOf: (t: { orgId: AnyPgColumn; agentId: AnyPgColumn }) => Parameters<ReturnType<typeof index>['on']>,
  where?: string,
) =>
  declared(
    crm.table('notes', { ...columns(), agentId: uuid('agent_id').notNull() }, (t) => {
      const agentIndex = index('notes_agent_idx').on(...indexOf(t))
      return [
        foreignKey({
          name: 'notes_agent_fkey',
          columns: [t.orgId, t.agentId],
          foreignColumns: [agents.orgId, agents.id],
        }).onDelete('cascade'),
        where === undefined ? agentIndex : agentIndex.where(literal(where)),
        ...constraints('notes', t),
      ]
    }),
  )

const archived: TableFacts = { kind: 'tenant', outlives: true }

export const referenceFaults: PlantedFault[] = [
  {
    fault: 'an id that is no foreign key',
    rule: 'missing-reference',
    object: 'agent_id',
    exports: {
      notes: declared(crm.table('notes', { ...columns(), agentId: uuid('agent_id') }, (t) => constraints('notes', t))),
    },
  },
  {
    fault: 'a foreign key to a table without a kind',
    rule: 'undeclared-target',
    object: 'notes_contact_fkey',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), contactId: uuid('contact_id').notNull() }, (t) => [
          foreignKey({
            name: 'notes_contact_fkey',
            columns: [t.contactId],
            foreignColumns: [unknownTable.id],
          }).onDelete('cascade'),
          index('notes_contact_idx').on(t.contactId),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a foreign key on the id alone',
    rule: 'composite-reference',
    object: 'notes_agent_fkey',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), agentId: uuid('agent_id').notNull() }, (t) => [
          foreignKey({ name: 'notes_agent_fkey', columns: [t.agentId], foreignColumns: [agents.id] }).onDelete(
            'cascade',
          ),
          index('notes_agent_idx').on(t.agentId),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a foreign key that carries another column as the organization',
    rule: 'composite-reference',
    object: 'notes_agent_fkey',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), agentId: uuid('agent_id').notNull() }, (t) => [
          foreignKey({
            name: 'notes_agent_fkey',
            columns: [t.agentId, t.orgId],
            foreignColumns: [agents.orgId, agents.id],
          }).onDelete('cascade'),
          index('notes_agent_idx').on(t.orgId, t.agentId),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: "a foreign key to a person's row without the person",
    rule: 'composite-reference',
    object: 'notes_session_fkey',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), sessionId: uuid('session_id').notNull() }, (t) => [
          foreignKey({
            name: 'notes_session_fkey',
            columns: [t.sessionId],
            foreignColumns: [userSessions.id],
          }).onDelete('cascade'),
          index('notes_session_idx').on(t.sessionId),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a required reference holds what it refers to',
    rule: 'deletion',
    object: 'notes_agent_fkey',
    exports: { notes: noteOnAgent('required', 'no action') },
  },
  {
    fault: 'on delete restrict',
    rule: 'deletion',
    object: 'notes_agent_fkey',
    exports: { notes: noteOnAgent('required', 'restrict') },
  },
  {
    fault: 'an optional reference takes the row with it',
    rule: 'deletion',
    object: 'notes_agent_fkey',
    exports: { notes: noteOnAgent('optional', 'cascade') },
  },
  {
    fault: 'set null on a composite key',
    rule: 'deletion',
    object: 'notes_agent_fkey',
    exports: { notes: noteOnAgent('optional', 'set null') },
  },
  {
    fault: 'set default',
    rule: 'deletion',
    object: 'notes_agent_fkey',
    exports: { notes: noteOnAgent('optional', 'set default') },
  },
  {
    fault: 'a key that changes with the one it refers to',
    rule: 'deletion',
    object: 'notes_agent_fkey',
    exports: { notes: noteOnAgent('required', 'cascade', 'cascade') },
  },
  {
    fault: 'an optional reference to a person holds the person',
    rule: 'deletion',
    object: 'notes_reviewer_fkey',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), reviewerId: uuid('reviewer_id') }, (t) => [
          foreignKey({ name: 'notes_reviewer_fkey', columns: [t.reviewerId], foreignColumns: [users.id] }),
          index('notes_reviewer_idx').on(t.reviewerId),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a reference to a catalog that is emptied',
    rule: 'deletion',
    object: 'notes_llm_fkey',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), llmId: uuid('llm_id') }, (t) => [
          foreignKey({ name: 'notes_llm_fkey', columns: [t.llmId], foreignColumns: [llms.id] }).onDelete('set null'),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a person who did something is required',
    rule: 'attribution',
    object: 'created_by',
    exports: { notes: attributed(attribution('created_by').notNull()) },
  },
  {
    fault: 'a person who did something is no foreign key',
    rule: 'attribution',
    object: 'created_by',
    exports: {
      notes: attributed(attribution('created_by'), (t, orgId) => [index('notes_created_by_idx').on(t, orgId)]),
    },
  },
  {
    fault: 'a person who did something holds the row',
    rule: 'attribution',
    object: 'created_by',
    exports: {
      notes: attributed(attribution('created_by'), (t, orgId) => [
        foreignKey({ name: 'notes_created_by_fkey', columns: [t], foreignColumns: [users.id] }).onDelete('cascade'),
        index('notes_created_by_idx').on(t, orgId),
      ]),
    },
  },
  {
    fault: 'what a person did in one organization is searched in all of them',
    rule: 'attribution',
    object: 'created_by',
    exports: { notes: attributed(attribution('created_by'), (t) => attributedTo('notes', t)) },
  },
  {
    fault: 'a person who did something has no index',
    rule: 'attribution',
    object: 'created_by',
    exports: {
      notes: attributed(attribution('created_by'), (t, orgId) =>
        attributedTo('notes', t, orgId).filter((one) => !('config' in one)),
      ),
    },
  },
  {
    fault: 'a foreign key without an index',
    rule: 'reference-index',
    object: 'notes_agent_fkey',
    exports: { notes: noteWith((t) => [t.orgId]) },
  },
  {
    fault: 'a foreign key with an index of some of its rows',
    rule: 'reference-index',
    object: 'notes_agent_fkey',
    exports: { notes: noteWith((t) => [t.orgId, t.agentId], 'agent_id is not null and id is not null') },
  },
  {
    fault: 'a foreign key with an index of rows in which another column is not null',
    rule: 'reference-index',
    object: 'notes_agent_fkey',
    exports: { notes: noteWith((t) => [t.orgId, t.agentId], 'id is not null') },
  },
  {
    fault: 'a foreign key to a word without an index',
    rule: 'reference-index',
    object: 'notes_folder_fkey',
    exports: {
      folders: declared(
        crm.table('folders', { ...columns(), key: text('key').notNull() }, (t) => [
          unique('folders_key_key').on(t.orgId, t.key),
          ...constraints('folders', t),
        ]),
      ),
      notes: declared(
        crm.table('notes', { ...columns(), folder: text('folder').notNull() }, (t) => {
          const folders = crm.table('folders', { ...columns(), key: text('key') })
          return [
            foreignKey({
              name: 'notes_folder_fkey',
              columns: [t.orgId, t.folder],
              foreignColumns: [folders.orgId, folders.key],
            }),
            ...constraints('notes', t),
          ]
        }),
      ),
    },
  },
  {
    fault: 'a row that outlives what it refers to',
    rule: 'outlives',
    object: 'notes_org_fkey',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => constraints('notes', t)),
        archived,
      ),
    },
  },
]
