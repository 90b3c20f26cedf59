import { getTableColumns } from 'drizzle-orm'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { quoted } from '../../src/core/statements/column-plan.js'
import { grantsOf } from '../../src/access/grants.js'
import { platformTables } from '../../src/schema/tables.js'
import { nameOf, sqlOf } from '../support/every-table.js'
import {
  type Faults,
  mayInsert,
  ownedTables,
  ownerOf,
  ownershipFaults,
  referenceFaults,
  rightFaults,
  systemFaults,
} from '../isolation/behaviour.js'
import { checkFaults, uniqueFaults, uniquesOf } from '../isolation/constraint-behaviour.js'

/** One change of the catalog for the worse. */
export interface Mutant {
  readonly table: PgTable
  readonly sql: string
}

interface Kind {
  readonly name: string
  readonly mutants: readonly Mutant[]
  /** The behaviour that must change with it. */
  readonly faults: Faults
  /** Those that change nothing that anybody could see, and why. By table. */
  readonly unseen?: { readonly because: string; readonly tables: readonly string[] }
}

const secured = platformTables.filter((table) => getTableConfig(table).policies.length > 0)
const roles = ['tenantry_app', 'tenantry_system'] as const

const each = (tables: readonly PgTable[], sqlsOf: (table: PgTable) => readonly string[]): Mutant[] =>
  tables.flatMap((table) => sqlsOf(table).map((sql) => ({ table, sql })))

/** The policy for the application. */
const policyOf = (table: PgTable) =>
  getTableConfig(table).policies.find(({ name }) => name !== 'system_access')?.name ?? ''

export const kinds: readonly Kind[] = [
  {
    name: "the application's policy is dropped",
    mutants: each(ownedTables, (table) => [`drop policy ${policyOf(table)} on ${sqlOf(table)}`]),
    faults: ownershipFaults,
  },
  {
    name: "the system's policy is dropped",
    mutants: each(secured, (table) => [`drop policy system_access on ${sqlOf(table)}`]),
    faults: systemFaults,
  },
  {
    name: 'a policy lets every row be read',
    mutants: each(ownedTables, (table) => [`alter policy ${policyOf(table)} on ${sqlOf(table)} using (true)`]),
    faults: ownershipFaults,
  },
  {
    name: 'a policy lets every row be written',
    mutants: each(ownedTables, (table) => [`alter policy ${policyOf(table)} on ${sqlOf(table)} with check (true)`]),
    faults: ownershipFaults,
    unseen: {
      because: 'the application may neither insert nor change whose a row is, so nothing is ever checked',
      tables: ownedTables.filter((table) => !mayInsert(table)).map(nameOf),
    },
  },
  {
    name: 'row security is disabled',
    mutants: each(secured, (table) => [`alter table ${sqlOf(table)} disable row level security`]),
    faults: (setting, table) => (ownerOf(table) === undefined ? systemFaults : ownershipFaults)(setting, table),
    unseen: {
      because: 'the system sees every row of it anyhow, and the application has no right to it',
      tables: secured.filter((table) => ownerOf(table) === undefined).map(nameOf),
    },
  },
  {
    // No table has a key without the organization that one column could lead to, so the foreign key goes as a whole.
    name: 'a foreign key of both columns is dropped',
    mutants: each(platformTables, (table) =>
      getTableConfig(table)
        .foreignKeys.filter((key) => key.reference().columns.length === 2)
        .map((key) => `alter table ${sqlOf(table)} drop constraint ${key.getName()}`),
    ),
    faults: referenceFaults,
  },
  {
    name: 'a column may be changed that is fixed',
    mutants: each(platformTables, (table) => {
      const columns = Object.values(getTableColumns(table)).filter(({ generated }) => generated === undefined)
      return roles.flatMap((role) =>
        columns
          .filter(({ name }) => !grantsOf(table)[role].update.includes(name))
          .map(({ name }) => `grant update (${quoted(name)}) on ${sqlOf(table)} to ${role}`),
      )
    }),
    faults: rightFaults,
  },
  {
    name: 'a role may do what it is not granted',
    mutants: each(platformTables, (table) =>
      roles.flatMap((role) => {
        const grant = grantsOf(table)[role]
        return [
          ...(grant.select === '*' ? [] : ['select']),
          ...(grant.insert === '*' ? [] : ['insert']),
          ...(grant.delete ? [] : ['delete']),
          'truncate',
        ].map((right) => `grant ${right} on ${sqlOf(table)} to ${role}`)
      }),
    ),
    faults: rightFaults,
  },
  {
    name: 'a role may not do what it is granted',
    mutants: each(platformTables, (table) =>
      roles
        .filter((role) => grantsOf(table)[role].select.length > 0)
        .map((role) => `revoke all on ${sqlOf(table)} from ${role}`),
    ),
    faults: rightFaults,
  },
  {
    name: 'a check is dropped',
    mutants: each(platformTables, (table) =>
      getTableConfig(table).checks.map(({ name }) => `alter table ${sqlOf(table)} drop constraint ${name}`),
    ),
    faults: checkFaults,
  },
  {
    name: 'a unique key is dropped',
    mutants: each(platformTables, (table) =>
      uniquesOf(table).map(({ name, index }) =>
        index ? `drop index platform.${name}` : `alter table ${sqlOf(table)} drop constraint ${name} cascade`,
      ),
    ),
    faults: uniqueFaults,
  },
]

const loosened = [
  "the application's policy is dropped",
  "the system's policy is dropped",
  'a policy lets every row be read',
  'a policy lets every row be written',
  'row security is disabled',
  'a column may be changed that is fixed',
  'a role may do what it is not granted',
]

// Every build knows it: no other table that is nobody's has a policy for the application.
const isKnownToAll = (table: PgTable) => nameOf(table) === 'users'

/** Of tables that only a newer build knows: an older build must refuse to start with any of these. */
export const newerTables: readonly { readonly name: string; readonly mutants: readonly Mutant[] }[] = [
  ...kinds.filter(({ name }) => loosened.includes(name)),
  {
    name: 'the record of it is missing',
    mutants: each(platformTables, (table) => [
      `do $$ begin execute pg_catalog.format(
         'create or replace view platform_migrations.inventory with (security_invoker) as
          select * from pg_catalog.jsonb_to_recordset(%L::jsonb) as i("set" text, what text, name text, facts jsonb)',
         (select pg_catalog.jsonb_agg(pg_catalog.to_jsonb(i)) from platform_migrations.inventory i
          where i.name <> 'platform.${nameOf(table)}'));
       end $$`,
    ]),
  },
  {
    name: 'a policy is added',
    mutants: each(secured, (table) => [`create policy more on ${sqlOf(table)} using (true)`]),
  },
  {
    name: "it is everybody's",
    mutants: each(platformTables, (table) => [`grant select on ${sqlOf(table)} to public`]),
  },
].map(({ name, mutants }) => ({ name, mutants: mutants.filter(({ table }) => !isKnownToAll(table)) }))
