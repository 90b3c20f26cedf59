import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, tenantry } from './command-line.js'

const database = useDatabase()

beforeAll(async () => {
  for (const statement of [
    'create schema shop',
    'create table shop.teams (id uuid primary key, name text)',
    'create table shop.orders (id uuid primary key, team_id uuid references shop.teams)',
    'create table shop.plans (id uuid primary key)',
    `insert into shop.teams values ('00000000-0000-7000-8000-000000000001', 'one')`,
    `insert into shop.orders values ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001'),
      ('00000000-0000-7000-8000-000000000003', null)`,
  ])
    await database.admin.query(statement)
})

/** A folder of its own, where the command is run again and again. */
function newFolder() {
  const cwd = mkdtempSync(join(tmpdir(), 'tenantry-adopt-'))
  onTestFinished(() => {
    rmSync(cwd, { recursive: true })
  })
  const path = join(cwd, 'tenantry.adopt.json')
  return {
    path,
    adopt: (...args: string[]) =>
      tenantry(['adopt', 'analyse', '--schema', 'shop', ...args], {
        cwd,
        env: { DATABASE_ADMIN_URL: database.adminUrl },
      }),
    decide: (tables: object) => {
      const document = JSON.parse(readFileSync(path, 'utf8')) as { tables: object }
      writeFileSync(path, JSON.stringify({ ...document, tables: { ...document.tables, ...tables } }))
    },
  }
}

test('what is not decided ends with 3, and decisions stay in the file', async () => {
  const { adopt, decide } = newFolder()
  const { code, stdout } = await adopt()
  expect(code).toBe(3)
  expect(stdout.replace(/\d+ kB, (.*) about \d+ ms/, 'N kB, $1 about N ms')).toBe(
    [
      'orders  tenant by team_id, proposed, 2 rows',
      'plans  undecided',
      'teams  organizations, proposed',
      '',
      'To decide, in tenantry.adopt.json:',
      "- orders has rows that name no organization: perhaps they are everybody's",
      '  1 row: {"id":"00000000-0000-7000-8000-000000000003"}',
      '- no way leads from plans to an organization',
      '',
      'Locks:',
      'orders  N kB, 2 rows: prove reads it for about N ms',
      'In prove others read and write meanwhile: constraints are validated, and indexes are built concurrently. Rows that are put aside are locked',
      'until all of them have moved. backfill locks the rows of a batch for at most 200 ms. In expand, swap, observe, enforce and contract only the catalog changes: each statement keeps everybody out of its table',
      'for milliseconds, once it has the lock, and waits for that no longer than --lock-timeout says.',
      '',
      'Written: tenantry.adopt.json',
      '',
    ].join('\n'),
  )
  decide({ plans: { kind: 'shared' } })
  expect(await adopt()).toMatchObject({ code: 3, stdout: containing('plans  shared') })
  decide({ orders: { kind: 'tenant', way: { column: 'team_id' }, unreached: 'quarantine' } })
  expect(await adopt()).toMatchObject({ code: 0, stdout: containing('To know:\n- orders has rows') })
})

test('--dry-run writes no file, and --json gives what would be in it', async () => {
  const { adopt, path } = newFolder()
  const dry = await adopt('--dry-run', '--json')
  expect(existsSync(path)).toBe(false)
  await adopt()
  const timeless = ({ found, ...document }: { found: { tables: Record<string, object>; findings: unknown } }) => ({
    ...document,
    findings: found.findings,
    tables: Object.keys(found.tables),
  })
  expect(timeless(dry.json() as never)).toEqual(timeless(JSON.parse(readFileSync(path, 'utf8')) as never))
})

test('a file about another schema, and one that is no JSON, are refused and stay', async () => {
  const { adopt, path } = newFolder()
  writeFileSync(path, JSON.stringify({ version: 1, schema: 'other', organizations: null, tables: {} }))
  expect(await adopt()).toMatchObject({ code: 2, stderr: containing('is about the schema other') })
  writeFileSync(path, '{')
  expect(await adopt()).toMatchObject({ code: 2, stderr: containing('tenantry.adopt.json: is no JSON') })
  writeFileSync(
    path,
    JSON.stringify({ version: 1, schema: 'shop', organizations: null, tables: { orders: { kind: 'x' } } }),
  )
  expect(await adopt()).toMatchObject({ code: 2, stderr: containing('tables.orders.kind') })
  expect(readFileSync(path, 'utf8')).toContain('"kind":"x"')
})
