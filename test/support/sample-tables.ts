import {
  bigint,
  boolean,
  char,
  date,
  doublePrecision,
  foreignKey,
  index,
  inet,
  integer,
  interval,
  json,
  jsonb,
  numeric,
  pgSchema,
  type PgTableExtraConfigValue,
  primaryKey,
  real,
  smallint,
  text,
  time,
  timestamp,
  uuid,
  varchar,
} from 'drizzle-orm/pg-core'
import type { Session } from '../../src/database/session.js'
import { bytes, ciphertext } from '../../src/schema/shared/ciphertext.js'
import { id, instant, money, orgId, softDelete } from '../../src/schema/shared/columns.js'
import { json as exactJson } from '../../src/schema/shared/json.js'
import { declareTable } from '../../src/schema/shared/kinds.js'

const lab = pgSchema('lab')

export const holders = lab.table(
  'holders',
  { orgId: orgId(), id: id(), name: text('name').notNull(), favoriteId: uuid('favorite_id') },
  (t): PgTableExtraConfigValue[] => [
    primaryKey({ name: 'holders_pkey', columns: [t.orgId, t.id] }),
    foreignKey({
      name: 'holders_favorite_fkey',
      columns: [t.orgId, t.favoriteId],
      foreignColumns: [samples.orgId, samples.id],
    }),
  ],
)

/** A column of each kind that hosts use. */
export const samples = lab.table(
  'samples',
  {
    orgId: orgId(),
    id: id(),
    holderId: uuid('holder_id'),
    lenderId: uuid('lender_id'),
    text: text('text'),
    word: varchar('word', { length: 20 }),
    code: char('code', { length: 3 }),
    flag: boolean('flag'),
    small: smallint('small'),
    whole: integer('whole'),
    large: bigint('large', { mode: 'bigint' }),
    safe: bigint('safe', { mode: 'number' }),
    price: money('price'),
    ratio: numeric('ratio'),
    double: doublePrecision('double'),
    single: real('single'),
    day: date('day'),
    dayAsDate: date('day_as_date', { mode: 'date' }),
    moment: instant('moment'),
    momentAsText: timestamp('moment_as_text', { withTimezone: true, mode: 'string' }),
    local: timestamp('local'),
    hour: time('hour'),
    span: interval('span'),
    address: inet('address'),
    bytes: bytes('bytes'),
    exact: exactJson<unknown>('exact'),
    plain: json('plain'),
    binary: jsonb('binary'),
    words: text('words').array(),
    numbers: integer('numbers').array(),
    larges: bigint('larges', { mode: 'bigint' }).array(),
    prices: numeric('prices').array(),
    flags: boolean('flags').array(),
    moments: timestamp('moments', { withTimezone: true }).array(),
    grid: integer('grid').array().array(),
    hiddenText: text('hidden_text'),
    secret: ciphertext('secret'),
    ...softDelete(),
  },
  (t): PgTableExtraConfigValue[] => [
    primaryKey({ name: 'samples_pkey', columns: [t.orgId, t.id] }),
    foreignKey({
      name: 'samples_holder_fkey',
      columns: [t.orgId, t.holderId],
      foreignColumns: [holders.orgId, holders.id],
    }),
    foreignKey({
      name: 'samples_lender_fkey',
      columns: [t.orgId, t.lenderId],
      foreignColumns: [holders.orgId, holders.id],
    }),
    index('samples_holder_idx').on(t.orgId, t.holderId, t.id),
  ],
)

/** Links between them. */
export const marks = lab.table(
  'marks',
  { orgId: orgId(), holderId: uuid('holder_id').notNull(), sampleId: uuid('sample_id').notNull() },
  (t) => [
    primaryKey({ name: 'marks_pkey', columns: [t.orgId, t.holderId, t.sampleId] }),
    foreignKey({
      name: 'marks_holder_fkey',
      columns: [t.orgId, t.holderId],
      foreignColumns: [holders.orgId, holders.id],
    }),
    foreignKey({
      name: 'marks_sample_fkey',
      columns: [t.orgId, t.sampleId],
      foreignColumns: [samples.orgId, samples.id],
    }),
  ],
)
/** The relations of holders, of each kind one. */
export const ofHolders = {
  favorite: { one: samples, by: 'favoriteId' },
  samples: { many: samples, by: 'holderId' },
  marked: { many: samples, through: marks },
} as const

declareTable(holders, { kind: 'tenant' })
declareTable(samples, { kind: 'tenant', hidden: ['hidden_text'] })
declareTable(marks, { kind: 'tenant', audited: true })

export async function makeSampleTables(admin: Session): Promise<void> {
  for (const text of tables.split(';;')) await admin.query(text)
}

const tables = `
create schema lab;;
grant usage on schema lab to tenantry_app;;
create table lab.holders (org_id uuid, id uuid, name text not null, favorite_id uuid, primary key (org_id, id));;
create table lab.samples (
  org_id uuid, id uuid, holder_id uuid, lender_id uuid, text text, word varchar(20), code char(3), flag boolean, small smallint, whole integer,
  large bigint, safe bigint, price numeric(14, 2), ratio numeric, double double precision, single real, day date, day_as_date date,
  moment timestamptz, moment_as_text timestamptz, local timestamp, hour time, span interval, address inet, bytes bytea, exact jsonb,
  plain json, "binary" jsonb, words text[], numbers integer[], larges bigint[], prices numeric[], flags boolean[],
  moments timestamptz[], grid integer[][], hidden_text text, secret bytea, deleted_at timestamptz, primary key (org_id, id),
  foreign key (org_id, holder_id) references lab.holders (org_id, id),
  foreign key (org_id, lender_id) references lab.holders (org_id, id)
);;
create index samples_holder_idx on lab.samples (org_id, holder_id, id);;
alter table lab.holders add foreign key (org_id, favorite_id) references lab.samples (org_id, id);;
create table lab.marks (
  org_id uuid, holder_id uuid, sample_id uuid, primary key (org_id, holder_id, sample_id),
  foreign key (org_id, holder_id) references lab.holders (org_id, id),
  foreign key (org_id, sample_id) references lab.samples (org_id, id)
);;
alter table lab.holders enable row level security;;
alter table lab.samples enable row level security;;
alter table lab.marks enable row level security;;
create policy org_isolation on lab.holders to tenantry_app using (org_id = platform.current_org());;
create policy org_isolation on lab.samples to tenantry_app using (org_id = platform.current_org());;
create policy org_isolation on lab.marks to tenantry_app using (org_id = platform.current_org());;
grant select, insert, update, delete on all tables in schema lab to tenantry_app`
