import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { rowsOf, ownerSession } from '../support/adopting.js'
import { root, tenantry } from './command-line.js'

const database = useDatabase()

beforeAll(async () => {
  for (const schema of ['public', 'shop'])
    for (const statement of [
      `create schema if not exists ${schema}`,
      `create table ${schema}.teams (id uuid primary key, name text)`,
      `create table ${schema}.orders (id int primary key, team_id uuid not null references ${schema}.teams)`,
      `insert into ${schema}.teams values (gen_random_uuid(), 'Team of ${schema}')`,
      `insert into ${schema}.orders select n, t.id from ${schema}.teams t, generate_series(1, 10) n`,
    ])
      await database.admin.query(statement)
})

function newFolder() {
  const cwd = mkdtempSync(join(tmpdir(), 'tenantry-adopt-'))
  onTestFinished(() => {
    rmSync(cwd, { recursive: true })
  })
  // Definitions are loaded with the packages of their project.
  symlinkSync(join(root, 'node_modules'), join(cwd, 'node_modules'))
  return {
    cwd,
    adopt: (...args: string[]) => tenantry(['adopt', ...args], { cwd, env: { DATABASE_ADMIN_URL: database.adminUrl } }),
  }
}

/** Transactions of the application, each bound to the organization of the rows that it reads. */
async function useOrders(transactions: number, schema = 'public'): Promise<void> {
  const app = await ownerSession(database.appUrl)
  const [team] = await database.admin.query<{ id: string }>(`select id from ${schema}.teams`)
  for (let done = 0; done < transactions; done++) {
    await app.query('begin')
    await app.query('select platform.enter_org($1)', [team?.id])
    await app.query(`select from ${schema}.orders`)
    await app.query('commit')
  }
}

/** The commands in docs/adopting.md, in their order. */
const documented = [
  ...readFileSync(join(root, 'docs', 'adopting.md'), 'utf8').matchAll(/^npx tenantry adopt ([^#\n]+)/gm),
].map(([, words = '']) => words.trim().split(/\s+/))

test('the commands of the documentation go from analyse to the end and back, in their order', async () => {
  const folders = { public: newFolder(), shop: newFolder() }
  const session = await ownerSession(database.adminUrl)
  const before = await rowsOf(session, 'public')
  for (const words of documented) {
    if (words[0] === 'enforce') await useOrders(1000)
    const { adopt } = words.includes('shop') ? folders.shop : folders.public
    const { code, stderr } = await adopt(...words)
    expect([words.join(' '), code, stderr]).toEqual([
      words.join(' '),
      0,
      expect.not.stringContaining('Error') as string,
    ])
  }
  expect(documented.map(([name]) => name)).toEqual(
    expect.arrayContaining(['analyse', 'plan', 'expand', 'backfill', 'prove', 'swap', 'down']),
  )
  expect(await rowsOf(session, 'public')).toEqual(before)
})

test('enforce is refused with 3 while an unbound use was counted, and while the table was used too seldom', async () => {
  const { adopt } = newFolder()
  for (const words of ['analyse --schema shop', 'plan --schema shop', 'expand', 'backfill', 'prove', 'swap', 'observe'])
    expect((await adopt(...words.split(' '))).code).toBe(0)
  const app = await ownerSession(database.appUrl)
  await app.query('select from shop.orders')
  const report = await adopt('observe', '--report')
  expect(report).toMatchObject({
    code: 3,
    stdout: expect.stringMatching(
      /^orders {2}1 transaction since \S+: 1 unbound, 0 of another organization\n\d+ other sessions? with the rights of the owner: .*\n$/,
    ) as string,
  })
  expect(await adopt('enforce', '--min-transactions', '1')).toMatchObject({
    code: 3,
    stdout: expect.stringMatching(
      /^Nothing was done:\n- 1 transaction used orders with no organization bound since \S+\n$/,
    ) as string,
  })
  expect(await adopt('observe', '--reset', '--dry-run')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('leave it out with --report and --reset') as string,
  })
  expect((await adopt('observe', '--report')).code).toBe(3)
  expect((await adopt('observe', '--reset')).stdout).toMatch(/^orders {2}0 transactions since/)
  await useOrders(4, 'shop')
  expect(await adopt('observe', '--report', '--json').then(({ json }) => json())).toMatchObject({
    tables: [{ table: 'orders', transactions: 4, unbound: 0, another: 0 }],
  })
  expect((await adopt('enforce', '--min-transactions', '5')).code).toBe(3)
  expect((await adopt('status')).stdout).toContain('enforce  pending')
  expect((await adopt('enforce', '--min-transactions', '4')).stdout).toContain('Then: tenantry adopt contract')
  expect((await adopt('enforce')).stdout).toBe('enforce was applied before.\n')
  await adopt('down', '--all', '--yes')
})

test('enforce does not go by what was counted before another session observed anew', async () => {
  const { cwd, adopt } = newFolder()
  for (const words of ['analyse --schema shop', 'plan --schema shop', 'expand', 'backfill', 'prove', 'swap', 'observe'])
    expect((await adopt(...words.split(' '))).code).toBe(0)
  await useOrders(2, 'shop')
  const session = await ownerSession(database.adminUrl)
  let isObservedAnew = false
  const meanwhile: Session = {
    ...session,
    async query(text, params) {
      if (text.includes('pg_try_advisory_lock') && !isObservedAnew) {
        isObservedAnew = true
        for (const words of [['down', '--yes'], ['observe']]) expect((await adopt(...words)).code).toBe(0)
      }
      return session.query(text, params)
    },
  }
  const enforced = await tenantry(['adopt', 'enforce', '--min-transactions', '2', '--json'], {
    cwd,
    env: { DATABASE_ADMIN_URL: database.adminUrl },
    session: meanwhile,
  })
  expect(isObservedAnew).toBe(true)
  expect(enforced).toMatchObject({ code: 3 })
  expect(enforced.json()).toMatchObject({ applied: [], findings: [{ table: 'orders', kind: 'seldom used' }] })
  expect((await adopt('status')).stdout).toContain('enforce  pending')
  expect((await adopt('down', '--all', '--yes')).code).toBe(0)
})

test('a step and the way back wait for a lock no longer than --lock-timeout says', async () => {
  const { adopt } = newFolder()
  for (const words of ['analyse --schema shop', 'plan --schema shop'])
    expect((await adopt(...words.split(' '))).code).toBe(0)
  const reader = await ownerSession(database.adminUrl)
  for (const words of [['expand'], ['down', '--yes']]) {
    await reader.query('begin')
    await reader.query('lock table shop.orders in access share mode')
    expect(await adopt(...words, '--lock-timeout', '1')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Gave up after 30 attempts') as string,
    })
    await reader.query('rollback')
    expect((await adopt(...words)).code).toBe(0)
  }
})

test('each step waits for the one before it, says what is next, and does nothing twice', async () => {
  const { cwd, adopt } = newFolder()
  expect(await adopt('plan', '--schema', 'shop')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(
      'there is no tenantry.adopt.json in this folder: run tenantry adopt analyse first',
    ) as string,
  })
  expect(await adopt('expand')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('run tenantry adopt plan first') as string,
  })
  expect(await adopt('analyse', '--schema', 'shop')).toMatchObject({ code: 0 })
  const planned = await adopt('plan', '--schema', 'shop', '--json')
  expect(planned.json()).toMatchObject({
    files: expect.arrayContaining(['0000_expand.sql', 'adoption.json']) as string[],
  })
  expect(await adopt('prove')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('expand comes before prove, and is pending: run tenantry adopt expand') as string,
  })
  expect(await adopt('backfill')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('run tenantry adopt expand first') as string,
  })
  expect((await adopt('down', '--dry-run')).stdout).toBe('There is nothing to undo.\n')
  const shown = await adopt('expand', '--dry-run')
  expect(shown.stdout).toBe(readFileSync(join(cwd, 'adopt', '0000_expand.sql'), 'utf8'))
  expect((await adopt('status')).stdout).toBe(
    'expand  pending\nprove  pending\nswap  pending\nobserve  pending\nenforce  pending\ncontract  pending\n',
  )
  expect((await adopt('expand')).stdout).toBe('adopt 0000_expand applied\nThen: tenantry adopt backfill\n')
  expect((await adopt('expand')).stdout).toBe('expand was applied before.\n')
  expect(await adopt('plan', '--schema', 'shop')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(
      'steps of an earlier plan are taken: undo them first with tenantry adopt down --all',
    ) as string,
  })
  expect(await adopt('prove')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(
      'rows of organizations of teams, orders are not filled yet: run tenantry adopt backfill',
    ) as string,
  })
  expect((await adopt('backfill')).stdout).toBe(
    'organizations of teams  1 row, 1 filled\norders  10 rows, 10 filled\nThen: tenantry adopt prove\n',
  )
  expect(await adopt('prove', '--json').then(({ json }) => json())).toEqual({ applied: ['0001_prove'] })
  expect(await adopt('backfill')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('prove has begun') as string,
  })
  const folder = join(cwd, 'adopt')
  expect((await adopt('down', '--dry-run')).stdout).toBe(readFileSync(join(folder, '0001_prove.down.sql'), 'utf8'))
  expect((await adopt('down', '--all', '--dry-run')).stdout).toBe(
    ['0001_prove', '0000_expand'].map((tag) => readFileSync(join(folder, `${tag}.down.sql`), 'utf8')).join(''),
  )
  expect(await adopt('down', '--dry-run', '--json').then(({ json }) => json())).toEqual({
    undone: [],
    statements: expect.arrayContaining([expect.stringContaining('drop')]) as unknown,
  })
  expect((await adopt('status')).stdout).toContain('prove  applied\n')
  expect(await adopt('down')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('This undoes prove. Nothing was done: repeat it with --yes') as string,
  })
  expect(await adopt('down', '--to', 'nothing', '--yes')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('must be expand, prove, swap, observe, enforce, contract') as string,
  })
  writeFileSync(join(cwd, 'adopt', '0001_prove.sql'), '-- no-transaction\nselect 1;\n')
  expect(await adopt('swap')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('0001_prove.sql was edited after it was applied') as string,
  })
  expect(await adopt('down', '--all', '--yes')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('0001_prove.sql was edited after it was applied') as string,
  })
})
