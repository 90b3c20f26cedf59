import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { analyse } from '../../src/adoption/analyse.js'
import { type GivenDecisions, readDecisions } from '../../src/adoption/decisions.js'
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

test('the size of a table, and how long each step holds it, from how long it took to read', async () => {
  for (const statement of statementsOf(`
create schema sizes;
create table sizes.teams (id int primary key, name text not null);
create table sizes.projects (id int primary key, team_id int not null references sizes.teams, slug text unique);
create table sizes.tasks (id int primary key, project_id int not null references sizes.projects, next_id int references sizes.tasks);
create table sizes."it's" (id serial primary key, team_id int references sizes.teams);
create table sizes.logs (team_id int references sizes.teams);
insert into sizes.teams values (1, 'one');
insert into sizes.projects select n, 1, n from generate_series(1, 1000) n;
insert into sizes.tasks select n, n, null from generate_series(1, 1000) n
`))
    await database.admin.query(statement)
  const session = await ownerSession(database.adminUrl)
  const given = { version: 1, schema: 'sizes', organizations: null, tables: {} } as const
  const { found } = await analyse(session, 'sizes', given)
  const readMs = found.tables.tasks?.readMs ?? NaN
  expect(found.tables.tasks).toMatchObject({ rows: 1000, bytes: expect.any(Number) as number })
  const moment = { lock: 'ACCESS EXCLUSIVE', waiting: 'everybody', ms: null }
  expect(found.tables.tasks?.locks).toEqual([
    { step: 'expand', ...moment },
    { step: 'backfill', lock: 'FOR NO KEY UPDATE', waiting: 'writers of the same rows', ms: 200 },
    // The column, the organization and two foreign keys are validated. Of four indexes one is for a foreign key each, and two for the primary key.
    { step: 'prove', lock: 'SHARE UPDATE EXCLUSIVE', waiting: 'nobody', ms: 12 * readMs },
    ...['swap', 'observe', 'enforce', 'contract'].map((step) => ({ step, ...moment })),
  ])
  expect(found.findings.find(({ kind }) => kind === 'sequence')?.message).toContain(
    'allowRelations: [`sizes."it\'s_id_seq"`]',
  )
  // It is to be mended before, and the organizations stay as they are.
  for (const table of ['logs', 'teams']) expect(found.tables[table]?.locks).toBeUndefined()

  const aside = await analyse(session, 'sizes', {
    ...given,
    tables: { tasks: { way: { parent: 'tasks_project_id_fkey' }, unreached: 'quarantine' } },
  })
  expect(aside.found.tables.tasks?.locks).toContainEqual(
    expect.objectContaining({ step: 'prove', waiting: 'writers of the rows that are put aside' }),
  )

  const constant = { ...given, organizations: { constant: { name: 'Sizes', slug: 'sizes' } } }
  const one = await analyse(session, 'sizes', constant)
  expect(one.found.tables.tasks?.locks?.map(({ step }) => step)).not.toContain('backfill')
})

test('a file with a byte order mark is read, and one that says a thing by halves is told what it takes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-decisions-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true })
  })
  const path = join(folder, 'tenantry.adopt.json')
  const read = (given: object, mark = '') => {
    writeFileSync(
      path,
      `${mark}${JSON.stringify({ version: 1, schema: 's', organizations: null, tables: {}, ...given })}`,
    )
    return readDecisions(path, 's')
  }
  await expect(read({}, '\uFEFF')).resolves.toMatchObject({ schema: 's' })
  await expect(read({ organizations: { table: 'teams' } })).rejects.toThrow(
    'organizations: must be { "table": "teams", "id": "id" }, { "personal": { "table": "users", "id": "id" } } or { "constant": { "name": "Acme", "slug": "acme" } }, or null',
  )
  await expect(read({ tables: { a: { way: { colum: 'x' } } } })).rejects.toThrow(
    'tables.a.way: must be a way, such as { "column": "team_id" }',
  )
  await expect(read({ tables: { a: { unreached: { personal: 1 } } } })).rejects.toThrow(
    'tables.a.unreached: must be { "constant": "acme" } with a slug, { "personal": "owner_id" } with a column, or "quarantine"',
  )
})
