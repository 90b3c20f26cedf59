import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, root, tenantry } from './command-line.js'

const database = useDatabase()

beforeAll(async () => {
  for (const statement of [
    'create schema shop',
    'create table shop.teams (id uuid primary key, name text)',
    'create table shop.plans (id uuid primary key, name text not null)',
    `create table shop.orders (id uuid primary key default gen_random_uuid(), team_id uuid not null references shop.teams,
       plan_id uuid references shop.plans, placed timestamp)`,
    'create table shop.lines (id uuid primary key, order_id uuid not null references shop.orders)',
    'create table shop.numbered (id serial primary key, order_id uuid not null references shop.orders)',
    'create index lines_order on shop.lines (order_id)',
  ])
    await database.admin.query(statement)
})

test('adopt definitions: refused before the swap, writes what check and migrate go on from, and nothing twice', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'tenantry-adopt-'))
  onTestFinished(() => {
    rmSync(cwd, { recursive: true })
  })
  const run = (...args: string[]) => tenantry(args, { cwd, env: { DATABASE_ADMIN_URL: database.adminUrl } })
  const fine = async (...args: string[]) => {
    const ran = await run(...args)
    expect([args.join(' '), ran.code, ran.stderr]).toEqual([args.join(' '), 0, expect.anything() as string])
    return ran.stdout
  }
  expect(await run('adopt', 'definitions')).toMatchObject({
    code: 2,
    stderr: containing('run tenantry adopt plan first'),
  })
  const decided = { version: 1, schema: 'shop', organizations: null, tables: { plans: { kind: 'shared' } } }
  writeFileSync(join(cwd, 'tenantry.adopt.json'), JSON.stringify(decided))
  await fine('adopt', 'plan', '--schema', 'shop')
  for (const step of ['expand', 'backfill', 'prove']) await fine('adopt', step)
  const early = await run('adopt', 'definitions')
  expect(early).toMatchObject({
    code: 1,
    stderr: containing('until the swap the tables have their old keys: run tenantry adopt swap first'),
  })
  expect(existsSync(join(cwd, 'src'))).toBe(false)

  await fine('adopt', 'swap')
  const module = await fine('adopt', 'definitions', '--dry-run')
  // The contract is still to come, and drops the index that it has replaced.
  expect(module).not.toContain("lines_order'")
  expect(module).toContain("index('lines_org_order_id_idx').on(t.orgId, t.orderId)")
  for (const step of ['observe', 'enforce', 'contract'])
    await fine('adopt', step, ...(step === 'enforce' ? ['--min-transactions', '0'] : []))
  expect(await fine('adopt', 'definitions', '--dry-run')).toBe(module)

  expect((await run('adopt', 'definitions', '--dry-run', '--json')).json()).toEqual({
    ...{ files: [], module: module.trimEnd().concat('\n'), allowRelations: ['shop.numbered_id_seq'] },
  })

  mkdirSync(join(cwd, 'other'))
  writeFileSync(join(cwd, 'other', '0000_first.sql'), 'select 1;')
  expect(await run('adopt', 'definitions', '--migrations', 'other')).toMatchObject({
    code: 2,
    stderr: containing('has migrations already, such as 0000_first.sql'),
  })
  expect(existsSync(join(cwd, 'src'))).toBe(false)

  // A module that cannot be loaded, here without drizzle-orm, is not left there.
  expect(await run('adopt', 'definitions')).toMatchObject({
    code: 2,
    stderr: containing('schema.ts: cannot be loaded'),
  })
  expect([existsSync(join(cwd, 'src', 'schema.ts')), existsSync(join(cwd, 'drizzle'))]).toEqual([false, false])
  symlinkSync(join(root, 'node_modules'), join(cwd, 'node_modules'))
  const said = await fine('adopt', 'definitions')
  expect(said.split('\nWrite tenantry.config.ts')[0]).toBe(
    [
      'Written: src/schema.ts',
      'Written: drizzle/0000_adopted.sql',
      'Written: drizzle/0000_adopted.down.sql',
      'Written: drizzle/meta/_journal.json',
      'Written: drizzle/meta/0000_snapshot.json',
      '',
      'tenantry check finds in these tables what it would not allow in new ones:',
      "- timestamptz: shop.orders.placed is timestamp. Write `instant('placed')`.",
      "Mend it in a later migration, or leave these rules out, in tenantry.config.ts: exceptRules: ['timestamptz']",
      '',
      'The application numbers rows from sequences, which are no tables. Name them in tenantry.config.ts, and for openTenancy beside `own`:',
      "allowRelations: ['shop.numbered_id_seq']",
      '',
    ].join('\n'),
  )
  expect(readFileSync(join(cwd, 'src', 'schema.ts'), 'utf8')).toBe(module)
  expect(await run('adopt', 'definitions')).toMatchObject({ code: 2, stderr: containing('schema.ts is there already') })

  // The two files that it has printed.
  for (const name of ['tenantry', 'drizzle']) {
    const [, text = ''] = new RegExp(`Write ${name}\\.config\\.ts:\\n\\n(.*?\\n\\}\\)\\n)`, 's').exec(said) ?? []
    writeFileSync(join(cwd, `${name}.config.ts`), text)
  }
  await fine('check')
  expect(await fine('migrate', 'new', '--name', 'nothing')).toContain('have not changed')
  expect(await fine('migrate', 'up')).toContain('0000_adopted')
  await fine('proof', '--url', database.appUrl)
})
