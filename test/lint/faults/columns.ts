import { sql } from 'drizzle-orm'
import {
  type AnyPgColumn,
  customType,
  foreignKey,
  index,
  integer,
  json as drizzleJson,
  jsonb,
  numeric,
  type PgColumnBuilderBase,
  pgEnum,
  real,
  serial,
  text,
  time,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'
import { credits } from '../../../src/schema/credits.js'
import { ciphertext } from '../../../src/schema/shared/ciphertext.js'
import {
  createdAt,
  currency,
  id,
  instant,
  money,
  numberCheck,
  orgId,
  softDelete,
  timestamps,
} from '../../../src/schema/shared/columns.js'
import type { TableFacts } from '../../../src/schema/shared/kinds.js'
import { columns, constraints, crm, declared, type PlantedFault } from './planted-fault.js'

const colors = pgEnum('colors', ['red', 'green'])
const citext = customType<{ data: string }>({ dataType: () => 'citext' })
const customJson = customType<{ data: unknown }>({ dataType: () => 'json' })

const withColumns = (more: Record<string, PgColumnBuilderBase>, facts?: TableFacts) => ({
  notes: declared(
    crm.table('notes', { ...columns(), ...more }, (t) =>
      constraints('notes', t as Record<'orgId' | 'id', AnyPgColumn>),
    ),
    facts,
  ),
})

const keys = () => ({ orgId: orgId(), id: id() })
const withoutTimestamps = (more: Record<string, PgColumnBuilderBase>, facts?: TableFacts) => ({
  notes: declared(
    crm.table('notes', { ...keys(), ...more }, (t) => constraints('notes', t as Record<'orgId' | 'id', AnyPgColumn>)),
    facts,
  ),
})

const { updatedAt } = timestamps()

const priced = (more: Record<string, PgColumnBuilderBase>) => ({
  notes: declared(
    crm.table('notes', { ...columns(), ...more }, (t) => [
      numberCheck('notes_price_check', 'price', 'price >= 0'),
      ...constraints('notes', t as Record<'orgId' | 'id', AnyPgColumn>),
    ]),
  ),
})

export const columnFaults: PlantedFault[] = [
  {
    fault: 'a serial',
    rule: 'no-sequence',
    object: 'number',
    exports: withColumns({ number: serial('number') }),
  },
  {
    fault: 'an identity',
    rule: 'no-sequence',
    object: 'number',
    exports: withColumns({ number: integer('number').generatedAlwaysAsIdentity() }),
  },
  {
    fault: 'a sequence as default',
    rule: 'no-sequence',
    object: 'number',
    exports: withColumns({ number: integer('number').default(sql`nextval('crm.numbers')`) }),
  },
  { fault: 'an enum', rule: 'no-enum', object: 'color', exports: withColumns({ color: colors('color') }) },
  {
    fault: 'an array of an enum',
    rule: 'no-enum',
    object: 'colors',
    exports: withColumns({ colors: colors('colors').array() }),
  },
  {
    fault: 'a timestamp without a time zone',
    rule: 'timestamptz',
    object: 'sent_at',
    exports: withColumns({ sentAt: timestamp('sent_at') }),
  },
  {
    fault: 'a time of day',
    rule: 'timestamptz',
    object: 'opens_at',
    exports: withColumns({ opensAt: time('opens_at', { withTimezone: true }) }),
  },
  { fault: "Drizzle's jsonb", rule: 'json', object: 'body', exports: withColumns({ body: jsonb('body') }) },
  { fault: "Drizzle's json", rule: 'json', object: 'body', exports: withColumns({ body: drizzleJson('body') }) },
  { fault: 'json of a custom type', rule: 'json', object: 'body', exports: withColumns({ body: customJson('body') }) },
  { fault: 'a real', rule: 'exact-type', object: 'weight', exports: withColumns({ weight: real('weight') }) },
  { fault: 'citext', rule: 'exact-type', object: 'code', exports: withColumns({ code: citext('code') }) },
  {
    fault: 'no created_at',
    rule: 'timestamps',
    object: 'created_at',
    exports: withoutTimestamps({ updatedAt }),
  },
  {
    fault: 'no updated_at',
    rule: 'timestamps',
    object: 'updated_at',
    exports: withoutTimestamps({ createdAt: createdAt() }),
  },
  {
    fault: 'created_at may be null',
    rule: 'timestamps',
    object: 'created_at',
    exports: withColumns({ createdAt: instant('created_at').defaultNow() }),
  },
  {
    fault: 'updated_at has no default',
    rule: 'timestamps',
    object: 'updated_at',
    exports: withColumns({ updatedAt: instant('updated_at').notNull() }),
  },
  {
    fault: 'created_at has another default',
    rule: 'timestamps',
    object: 'created_at',
    exports: withColumns({
      createdAt: instant('created_at')
        .notNull()
        .default(sql`clock_timestamp()`),
    }),
  },
  {
    fault: 'an append-only table with updated_at',
    rule: 'timestamps',
    object: 'updated_at',
    exports: withColumns({}, { kind: 'tenant', appendOnly: true }),
  },
  {
    fault: 'an append-only table with soft delete',
    rule: 'timestamps',
    object: 'deleted_at',
    exports: withoutTimestamps({ createdAt: createdAt(), ...softDelete() }, { kind: 'tenant', appendOnly: true }),
  },
  {
    fault: 'every row is deleted from the start',
    rule: 'timestamps',
    object: 'deleted_at',
    exports: withColumns({ deletedAt: instant('deleted_at').notNull() }),
  },
  { fault: 'money without a currency', rule: 'money', object: 'price', exports: priced({ price: money('price') }) },
  {
    fault: 'money whose currency may be null',
    rule: 'money',
    object: 'price',
    exports: priced({ price: money('price'), currency: currency() }),
  },
  {
    fault: 'a currency of any length',
    rule: 'money',
    object: 'price',
    exports: priced({ price: money('price'), currency: text('currency').notNull() }),
  },
  {
    fault: 'money in the currency of a row that need not be there',
    rule: 'money',
    object: 'amount',
    exports: {
      payments: declared(
        crm.table('payments', { ...columns(), creditId: uuid('credit_id'), amount: money('amount') }, (t) => [
          foreignKey({
            name: 'payments_credit_fkey',
            columns: [t.orgId, t.creditId],
            foreignColumns: [credits.orgId, credits.id],
          }),
          index('payments_credit_idx').on(t.orgId, t.creditId),
          numberCheck('payments_amount_check', 'amount'),
          ...constraints('payments', t),
        ]),
      ),
    },
  },
  {
    fault: 'money as a JavaScript number',
    rule: 'money',
    object: 'price',
    exports: priced({
      price: numeric('price', { precision: 14, scale: 2, mode: 'number' }),
      currency: currency().notNull(),
    }),
  },
  {
    fault: 'a sealed column that cannot be emptied',
    rule: 'sealed',
    object: 'secret',
    exports: withColumns({ secret: ciphertext('secret').notNull() }),
  },
]
