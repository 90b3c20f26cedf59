import type { Plant } from './plants.js'

const options = 'the connection brings it along: it stands in the url or in the options of the pool'

/** `{login}`, its `{role}`, the `{database}` and its `{owner}` are filled in. */
export const loginPlants: readonly Plant[] = [
  { sql: ['alter role {login} superuser'], faults: ['is a superuser'] },
  { sql: ['alter database {database} owner to {login}'], faults: ['owns something'] },
  {
    sql: ['alter schema platform owner to {login}', 'alter role {login} bypassrls createrole'],
    faults: ['owns something'],
  },
  { sql: ['alter role {role} superuser'], faults: ['is a superuser'] },
  { sql: ['alter role {login} bypassrls'], faults: ['bypasses row security'] },
  { sql: ['alter role {role} bypassrls'], faults: ['bypasses row security'] },
  { sql: ['alter role {login} createrole'], faults: ['may create roles or databases, or replicate'] },
  {
    sql: ['revoke {role} from {login}', 'grant pg_monitor to {login}', 'alter role {login} createrole bypassrls'],
    faults: ['bypasses row security'],
  },
  { sql: ['alter role {login} createdb'], faults: ['may create roles or databases, or replicate'] },
  { sql: ['alter role {role} replication'], faults: ['may create roles or databases, or replicate'] },
  { sql: [], as: ['set local role {role}'], faults: ['acts as another role'], advice: options },
  { sql: ['revoke {role} from {login}'], faults: ['does not have the rights of its role'] },
  { sql: ['alter role {login} noinherit'], faults: ['does not have the rights of its role'], until: 15 },
  { sql: ['grant {role} to {login} with inherit false'], faults: ['does not have the rights of its role'], from: 16 },
  { sql: ['grant {role} to {login} with admin option'], faults: ['may administer its role'] },
  { sql: ['grant tenantry_app, tenantry_system to {login}'], faults: ['is a member of another role'] },
  { sql: ['grant pg_read_all_data to {login}'], faults: ['is a member of another role'] },
  { sql: ['grant pg_write_all_data to {role}'], faults: ['is a member of another role'] },
  {
    sql: ['create role planted', 'grant pg_read_all_data to planted', 'grant planted to {login}'],
    faults: ['is a member of another role', 'is a member of another role'],
  },
  {
    sql: ['create role planted noinherit', 'grant planted to {login}', 'alter role planted bypassrls'],
    faults: ['is a member of another role'],
  },
  { sql: ['grant {owner} to {login}'], faults: ['is a member of another role'] },
  {
    sql: ['create table public.planted ()', 'alter table public.planted owner to {login}'],
    faults: ['owns something'],
  },
  { sql: ['create schema planted authorization {role}'], faults: ['owns something'] },
  {
    sql: [
      'create table public.planted ()',
      'create function public.planted() returns int return 1',
      'alter table public.planted owner to {login}',
      'alter function public.planted owner to {login}',
    ],
    faults: ['owns something'],
  },
  { sql: ['alter role {login} set tenantry.org_id to planted'], faults: ['a binding is ambient'] },
  { sql: ['alter database {database} set tenantry.user_id to planted'], faults: ['a binding is ambient'] },
  {
    sql: ['alter role {login} in database {database} set tenantry.org_id to planted'],
    faults: ['a binding is ambient'],
  },
  { sql: ['set local tenantry.user_id to planted'], faults: ['a binding is ambient'], advice: options },
  { sql: ['alter role {login} set row_security to off'], faults: ['a setting is unsafe'] },
  { sql: [], as: ['set local row_security to off'], faults: ['a setting is unsafe'], advice: options },
  { sql: ['alter role {login} set session_replication_role to replica'], faults: ['a setting is unsafe'] },
  { sql: ['alter database {database} set default_transaction_read_only to on'], faults: ['a setting is unsafe'] },
  { sql: ['alter role {login} set standard_conforming_strings to off'], faults: ['a setting is unsafe'], until: 18 },
  { sql: ["alter role {login} set local_preload_libraries to 'planted'"], faults: ['a setting is unsafe'] },
  {
    sql: [
      'create schema planted',
      'grant usage on schema planted to public',
      'set local search_path to planted, public',
    ],
    faults: ['search_path is unsafe'],
    advice: options,
  },
  { sql: ['set local search_path to public, pg_catalog'], faults: ['search_path is unsafe'], advice: options },
  {
    sql: ['alter role tenantry_app rename to planted_app', 'alter role tenantry_system rename to planted_system'],
    faults: ['the role is missing'],
  },
]
