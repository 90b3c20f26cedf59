import { expect, test } from 'vitest'
import { analyse } from '../../src/adoption/analyse.js'
import type { GivenDecisions } from '../../src/adoption/decisions.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { ownerSession, statementsOf } from '../support/adopting.js'

const database = useDatabase()

test('a part of a decision is enough: the rest is as it is found', async () => {
  for (const statement of statementsOf(`
create schema parts;
create table parts.teams (id int primary key, name text not null);
create table parts.projects (id int primary key, team_id int references parts.teams);
create table parts.workflows (id int primary key, project_id int references parts.projects);
create table parts.invoices (id int primary key, customer text not null);
create table parts.plans (id int primary key);
create table parts.pairs (id int primary key, from_id int references parts.teams, to_id int not null references parts.teams);
create table parts.schema_migrations (id int primary key, team_id int references parts.teams);
insert into parts.teams values (1, 'one');
insert into parts.projects values (1, 1), (2, null);
insert into parts.workflows values (1, 1), (2, null)
`))
    await database.admin.query(statement)
  const tables: GivenDecisions['tables'] = {
    projects: { way: { column: 'team_id' }, unreached: 'quarantine' },
    workflows: { unreached: { constant: 'all' } },
    invoices: { kind: 'tenant' },
    plans: { unique: [['id']] },
    pairs: { crossing: ['pairs_from_id_fkey'] },
    schema_migrations: { global: [] },
  }
  const session = await ownerSession(database.adminUrl)
  const { decisions, decided, found } = await analyse(session, 'parts', {
    version: 1,
    schema: 'parts',
    organizations: null,
    tables,
  })
  expect(decisions.tables).toEqual(tables)
  expect(found.tables).toMatchObject({
    projects: { kind: 'tenant', way: { column: 'team_id' }, isProposed: false },
    workflows: { kind: 'tenant', way: { parent: 'workflows_project_id_fkey' }, isProposed: true },
    invoices: { kind: 'tenant', way: undefined },
    plans: { kind: undefined },
    pairs: { kind: 'tenant', way: { column: 'to_id' }, isProposed: true },
    schema_migrations: { kind: 'tenant', way: { column: 'team_id' } },
  })
  expect(decided.tables.workflows).toEqual({
    kind: 'tenant',
    way: { parent: 'workflows_project_id_fkey' },
    unreached: { constant: 'all' },
  })
  const told = found.findings
    .filter(({ kind }) => kind !== 'no uuid')
    .map(({ table, kind, needs }) => [table, kind, needs])
  expect(told).toEqual([
    ['invoices', 'undecided', 'decision'],
    ['pairs', 'several ways', 'decision'],
    ['plans', 'undecided', 'decision'],
    ['projects', 'nameless', 'attention'],
    ['workflows', 'nameless', 'attention'],
  ])
})
