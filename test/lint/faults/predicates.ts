import { type SQL, sql } from 'drizzle-orm'
import { type AnyPgColumn, check, doublePrecision, index, numeric, text } from 'drizzle-orm/pg-core'
import { literal, lowerCaseCheck, numberCheck, state, stateCheck } from '../../../src/schema/shared/columns.js'
import { columns, constraints, crm, declared, type PlantedFault } from './planted-fault.js'

const stages = ['draft', 'sent'] as const

const staged = (...checks: ReturnType<typeof check>[]) => ({
  notes: declared(
    crm.table('notes', { ...columns(), stage: state('stage', stages).notNull() }, (t) => [
      ...checks,
      ...constraints('notes', t),
    ]),
  ),
})

const weighed = (weight: ReturnType<typeof doublePrecision> | ReturnType<typeof numeric>, predicate: string) => ({
  notes: declared(
    crm.table('notes', { ...columns(), weight }, (t) => [
      check('notes_weight_check', literal(predicate)),
      ...constraints('notes', t),
    ]),
  ),
})

const named = (name: string, ...checks: ReturnType<typeof check>[]) => ({
  notes: declared(
    crm.table('notes', { ...columns(), [name]: text(name).notNull() }, (t) => [
      ...checks,
      ...constraints('notes', t as Record<'orgId' | 'id', AnyPgColumn>),
    ]),
  ),
})

const coded = (predicate: (code: AnyPgColumn) => SQL) => ({
  notes: declared(
    crm.table('notes', { ...columns(), code: text('code').notNull() }, (t) => [
      check('notes_code_check', predicate(t.code)),
      ...constraints('notes', t),
    ]),
  ),
})

const bound = 'x'

export const predicateFaults: PlantedFault[] = [
  { fault: 'a list of words without a check', rule: 'state', object: 'stage', exports: staged() },
  {
    fault: 'a check over other words',
    rule: 'state',
    object: 'stage',
    exports: staged(stateCheck('notes_stage_check', 'stage', [...stages, 'lost'])),
  },
  {
    fault: 'a check over another column',
    rule: 'state',
    object: 'stage',
    exports: staged(stateCheck('notes_stage_check', 'old_stage', stages)),
  },
  {
    fault: 'a status of any words',
    rule: 'state',
    object: 'status',
    exports: named('status'),
  },
  {
    fault: 'a status without a default',
    rule: 'state',
    object: 'status',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), status: state('status', stages).notNull() }, (t) => [
          stateCheck('notes_status_check', 'status', stages),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a state without a default',
    rule: 'state',
    object: 'state',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), state: state('state', stages).notNull() }, (t) => [
          stateCheck('notes_state_check', 'state', stages),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a numeric that may be NaN',
    rule: 'number',
    object: 'weight',
    exports: weighed(numeric('weight', { precision: 9, scale: 3 }), 'weight >= 0'),
  },
  {
    fault: 'a numeric beside another that may not be NaN',
    rule: 'number',
    object: 'weight',
    exports: weighed(numeric('weight', { precision: 9, scale: 3 }), `net_weight <> 'NaN'`),
  },
  {
    fault: 'a double that may be NaN',
    rule: 'number',
    object: 'weight',
    exports: weighed(doublePrecision('weight'), `weight > '-Infinity' and weight < 'Infinity'`),
  },
  {
    fault: 'a double that may be infinite',
    rule: 'number',
    object: 'weight',
    exports: weighed(doublePrecision('weight'), `weight >= 0 and weight <> 'NaN'`),
  },
  {
    fault: 'a double that may be infinite below',
    rule: 'number',
    object: 'weight',
    exports: weighed(doublePrecision('weight'), `weight < 'Infinity' and weight <> 'NaN'`),
  },
  {
    fault: 'a numeric without a precision that may be infinite',
    rule: 'number',
    object: 'weight',
    exports: weighed(numeric('weight'), `weight <> 'NaN'`),
  },
  { fault: 'an email in any case', rule: 'lower-case', object: 'email', exports: named('email') },
  {
    fault: 'a slug of letters in any case',
    rule: 'lower-case',
    object: 'slug',
    exports: named('slug', check('notes_slug_check', literal(`slug ~ '^[a-zA-Z0-9]+$'`))),
  },
  {
    fault: 'another column is lower-case',
    rule: 'lower-case',
    object: 'username',
    exports: named('username', lowerCaseCheck('notes_username_check', 'old_username')),
  },
  {
    fault: 'a bound value in a check',
    rule: 'literal',
    object: 'notes_code_check',
    exports: coded(() => sql`code <> ${bound}`),
  },
  {
    fault: 'a column object in a check',
    rule: 'literal',
    object: 'notes_code_check',
    exports: coded((code) => sql`${code} <> ''`),
  },
  {
    fault: 'a column with its table in a check',
    rule: 'literal',
    object: 'notes_code_check',
    exports: coded(() => literal(`notes.code <> ''`)),
  },
  {
    fault: 'a bound value in an index',
    rule: 'literal',
    object: 'notes_code_idx',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), code: text('code').notNull() }, (t) => [
          index('notes_code_idx')
            .on(t.orgId, t.code)
            .where(sql`code <> ${bound}`),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'a bound value in a default',
    rule: 'literal',
    object: 'code',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), code: text('code').default(sql`upper(${bound})`) }, (t) =>
          constraints('notes', t),
        ),
      ),
    },
  },
  {
    fault: 'an index on an expression that is sorted by bytes',
    rule: 'plain-index',
    object: 'notes_code_idx',
    exports: {
      notes: declared(
        crm.table('notes', { ...columns(), code: text('code').notNull() }, (t) => [
          index('notes_code_idx').on(t.orgId, sql`lower(${t.code}) collate "C"`),
          ...constraints('notes', t),
        ]),
      ),
    },
  },
  {
    fault: 'quoted columns in a generated column',
    rule: 'literal',
    object: 'label_key',
    exports: {
      notes: declared(
        crm.table(
          'notes',
          { ...columns(), labelKey: text('label_key').generatedAlwaysAs((): SQL => sql`lower("notes"."label")`) },
          (t) => constraints('notes', t),
        ),
      ),
    },
  },
]

/** A predicate that only looks as if it named columns with quotes. */
export const quotedWords = coded(() => literal(`code <> '"notes.code"'`))

export const boundedDouble = {
  notes: declared(
    crm.table('notes', { ...columns(), weight: doublePrecision('weight') }, (t) => [
      numberCheck('notes_weight_check', 'weight', 'weight between 0 and 500'),
      ...constraints('notes', t),
    ]),
  ),
}
