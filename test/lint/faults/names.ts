import { check, foreignKey, index, numeric, primaryKey, text, unique, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { llms } from '../../../src/schema/llms.js'
import { literal, numberCheck } from '../../../src/schema/shared/columns.js'
import { tenantTable } from '../../../src/schema/shared/isolation.js'
import { columns, constraints, crm, declared, type PlantedFault } from './planted-fault.js'

const coded = () => ({ ...columns(), code: text('code').notNull() })
const linked = () => ({ ...columns(), llmId: uuid('llm_id').notNull() })

export const nameFaults: PlantedFault[] = [
  {
    fault: 'a table in mixed case',
    rule: 'identifiers',
    object: 'noteBooks',
    exports: {
      noteBooks: declared(
        crm.table('noteBooks', columns(), (t) => [
          primaryKey({ name: 'noteBooks_pkey', columns: [t.orgId, t.id] }),
          ...tenantTable('noteBooks', t),
        ]),
      ),
    },
  },
  {
    fault: 'a column with signs in its name',
    rule: 'identifiers',
    object: 'weight(kg)',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), 'weight(kg)': numeric('weight(kg)', { precision: 9, scale: 3 }) }, (t) => [
          numberCheck('notes_weight_check', 'weight(kg)'),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a column without an SQL name',
    rule: 'identifiers',
    object: 'firstName',
    exports: {
      notes: declared(crm.table('notes', { ...columns(), firstName: text() }, (t) => constraints('notes', t))),
    },
  },
  {
    fault: 'a column with too long a name',
    rule: 'identifiers',
    object: `x${'y'.repeat(55)}`,
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), [`x${'y'.repeat(55)}`]: text(`x${'y'.repeat(55)}`) }, (t) =>
          constraints('notes', t),
        ),
      ),
    },
  },
  {
    fault: 'a column that is called something else in TypeScript',
    rule: 'properties',
    object: 'first_name',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), lastName: text('first_name') }, (t) => constraints('notes', t)),
      ),
    },
  },
  {
    fault: 'an unnamed primary key',
    rule: 'object-names',
    object: 'the primary key on (org_id, id)',
    exports: {
      notes: declared(
        crm.table('notes', columns(), (t) => [primaryKey({ columns: [t.orgId, t.id] }), ...tenantTable('notes', t)]),
      ),
    },
  },
  {
    fault: 'an unnamed unique',
    rule: 'object-names',
    object: 'notes_org_id_code_unique',
    exports: {
      notes: declared(crm.table('notes', coded(), (t) => [unique().on(t.orgId, t.code), ...constraints('notes', t)])),
    },
  },
  {
    fault: 'an unnamed unique index',
    rule: 'object-names',
    object: 'the unique index on (org_id, code)',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [uniqueIndex().on(t.orgId, t.code), ...constraints('notes', t)]),
      ),
    },
  },
  {
    fault: 'an unnamed index',
    rule: 'object-names',
    object: 'the index on (org_id, code)',
    exports: {
      notes: declared(crm.table('notes', coded(), (t) => [index().on(t.orgId, t.code), ...constraints('notes', t)])),
    },
  },
  {
    fault: 'a foreign key by .references()',
    rule: 'object-names',
    object: 'the foreign key on (llm_id)',
    exports: {
      notes: declared(
        crm.table(
          'notes',
          {
            ...columns(),
            llmId: uuid('llm_id')
              .notNull()
              .references(() => llms.id),
          },
          (t) => constraints('notes', t),
        ),
      ),
    },
  },
  {
    fault: 'a foreign key with the ending of a key',
    rule: 'object-names',
    object: 'notes_llm_key',
    exports: {
      notes: declared(
        crm.table('notes', linked(), (t) => [
          foreignKey({ name: 'notes_llm_key', columns: [t.llmId], foreignColumns: [llms.id] }),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'an index that does not begin with its table',
    rule: 'object-names',
    object: 'code_idx',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [index('code_idx').on(t.orgId, t.code), ...constraints('notes', t)]),
      ),
    },
  },
  {
    fault: 'a check with another ending',
    rule: 'object-names',
    object: 'notes_code_valid',
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [
          check('notes_code_valid', literal(`code <> ''`)),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'an index with too long a name',
    rule: 'object-names',
    object: `notes_${'x'.repeat(46)}_idx`,
    exports: {
      notes: declared(
        crm.table('notes', coded(), (t) => [
          index(`notes_${'x'.repeat(46)}_idx`).on(t.orgId, t.code),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
]
