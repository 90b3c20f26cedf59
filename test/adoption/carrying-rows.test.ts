import { expect, test } from 'vitest'
import { analysePlatform } from '../../src/adoption/carrying/analyse-platform.js'
import { platformStatus } from '../../src/adoption/carrying/platform-status.js'
import type { Session } from '../../src/database/session.js'
import { ownerSession, rowsOf } from '../support/adopting.js'
import { carrying, countOf, isProved, useEarlierPlatforms } from '../support/carrying.js'
import { watched } from '../support/mortal-session.js'

const { database, earlier } = useEarlierPlatforms()

const messagesOf = async (session: Session, schema: string, ...leave: readonly string[]): Promise<string[]> =>
  (await analysePlatform(session, schema, leave)).findings
    .filter(({ needs }) => needs === 'mend')
    .map(({ message }) => message)

test('a credit that is refunded keeps what was granted, and loses what was spent', async () => {
  const { session, expand, backfill, prove } = await earlier('refunded')
  await expand()
  await backfill()
  await session.query(
    'update refunded.credits set remaining = amount where id = (select id from refunded.credits where remaining < amount limit 1)',
  )
  expect(await prove()).toMatchObject(isProved)
  expect(
    await countOf(
      session,
      `from platform.credit_entries e join refunded.credits s on s.id = e.credit_id where s.remaining = s.amount and e.kind = 'spend'`,
    ),
  ).toBe(0)
  expect(
    await countOf(
      session,
      `from refunded.credits s where not exists (select from platform.credit_entries e where e.credit_id = s.id and e.kind = 'grant')`,
    ),
  ).toBe(0)
})

test('a proof beside somebody who refunds a credit finds no entry too many', async () => {
  const { session, expand, backfill } = await earlier('spending')
  await expand()
  await backfill()
  const writer = await ownerSession(database.adminUrl)
  const spending = await watched(database.adminUrl, async (text) => {
    if (text.includes('repeatable read'))
      await writer.query(
        'update spending.credits set remaining = amount where id = (select id from spending.credits where remaining < amount order by id limit 1)',
      )
  })
  expect(await carrying(spending, 'spending').prove()).toMatchObject(isProved)
  expect((await platformStatus(session, 'spending')).waiting).toBe(1)
})

test('a backfill and a proof end although somebody writes without a pause', async () => {
  const { expand, backfill } = await earlier('busily')
  await expand()
  const writer = await ownerSession(database.adminUrl)
  const busy = await watched(database.adminUrl, async (text) => {
    if (text.includes('delete from') && text.includes('"changes"'))
      await writer.query(`update busily.projects set name = name || '.' where ref = 'ref00000001'`)
  })
  await writer.query(`update busily.projects set name = name || '.' where ref = 'ref00000001'`)
  const { backfill: busily, prove } = carrying(busy, 'busily')
  expect((await busily()).isComplete).toBe(true)
  expect(await prove()).toMatchObject(isProved)
  await backfill()
})

test('rows that others refer to are removed once these refer to them no more', async () => {
  const { session, expand, backfill, prove, swap } = await earlier('unlinked', {
    changes: [
      'alter table unlinked.invoices add column subscription_id uuid references unlinked.subscriptions on delete set null',
      'update unlinked.invoices i set subscription_id = s.id from unlinked.subscriptions s where s.organization_id = i.organization_id',
    ],
  })
  await expand()
  await backfill()
  await session.query(
    'delete from unlinked.subscriptions where id = (select id from unlinked.subscriptions order by id limit 1)',
  )
  // The invoices come a batch later than the subscription.
  const changes = 'tenantry_carry_unlinked.changes'
  const invoices = await session.query<{ key: string }>(
    `delete from ${changes} where table_name = 'invoices' returning key`,
  )
  for (const [table, key, times] of [
    ['projects', '00000000-0000-4000-8000-000000000000', 600] as const,
    ...invoices.map((row) => ['invoices', row.key, 1] as const),
  ])
    await session.query(`insert into ${changes} (table_name, key) select $1, $2 from generate_series(1, $3::int)`, [
      table,
      key,
      times,
    ])
  expect(await prove()).toMatchObject(isProved)
  expect((await platformStatus(session, 'unlinked')).waiting).toBe(0)
  expect(await swap()).toMatchObject(isProved)
})

test('an organization that is deleted leaves nothing in tenantry', async () => {
  const { session, expand, backfill, prove } = await earlier('deleted', { isLarge: true })
  await expand()
  await backfill()
  const [organization] = await session.query<{ id: string }>(
    'select organization_id as id from deleted.audit_logs where organization_id is not null limit 1',
  )
  const entries = () => countOf(session, `from platform.audit_logs where org_id = '${organization?.id ?? ''}'`)
  expect(await entries()).toBeGreaterThan(0)
  await session.query('delete from deleted.organizations where id = $1', [organization?.id])
  expect(await prove()).toMatchObject(isProved)
  expect(await entries()).toBe(0)
})

test('a value without a meaning in tenantry stops nothing where its table is named', async () => {
  const { session, expand, backfill, prove, down } = await earlier('unreadable', {
    changes: [
      'alter table unreadable.disk_config alter size_gb drop default, alter size_gb type text using size_gb::text',
      `update unreadable.disk_config set size_gb = 'big' where id = (select id from unreadable.disk_config order by id limit 1)`,
    ],
  })
  expect(await messagesOf(session, 'unreadable')).toEqual([
    expect.stringMatching(/^disk_config cannot be carried as it is/),
  ])
  await expand('disk_config')
  const { tables } = await backfill()
  expect(tables.find(({ name }) => name === 'disk_config')?.left).toEqual([
    { reason: 'have a value that tenantry cannot hold (22P02)', rows: 1 },
  ])
  await session.query(
    `update unreadable.disk_config set size_gb = 'bigger' where id = (select id from unreadable.disk_config order by id desc limit 1)`,
  )
  expect(await prove()).toMatchObject(isProved)
  await backfill({ again: true })
  expect(await prove()).toMatchObject(isProved)
  expect(await down()).toBe('prove')
})

test('a column of a type that cannot be carried is told, and --leave does not answer it', async () => {
  const { session } = await earlier('typed', {
    changes: ['alter table typed.invoices alter amount_due type text using amount_due::text'],
  })
  for (const leave of [[], ['invoices']])
    expect(await messagesOf(session, 'typed', ...leave)).toEqual([
      expect.stringMatching(
        /^invoices cannot be carried as it is: .*Change the type of the column, or rename the table/,
      ),
    ])
})

test('several uses of an add-on without a date, a catalog that repeats an entry, and words of an enum', async () => {
  const { session, expand, backfill, prove } = await earlier('repeated', {
    changes: [
      `insert into repeated.addons (project_id, addon_type, addon_variant, activated_at, status) select id, 'ipv4', 'default', null, s.status
         from (select id from repeated.projects order by id limit 1) p, (values ('active'), ('active'), (null)) s(status)`,
      'create table repeated.addon_catalog (id uuid primary key default gen_random_uuid(), addon_id text, name text, type text)',
      `insert into repeated.addon_catalog (addon_id, name, type) values ('repeated_one', 'One', 'one'), ('repeated_one', 'Two', 'one')`,
      `create type repeated.word as enum ('active', 'verified')`,
      `delete from repeated.tax_ids where status = 'deleted'`,
      'alter table repeated.tax_ids alter status drop default, alter status type repeated.word using status::repeated.word',
    ],
  })
  expect(await messagesOf(session, 'repeated')).toEqual([
    'addon_catalog has rows that repeat the addon_id of another row',
  ])
  await expand('addon_catalog')
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  expect(
    await countOf(
      session,
      `from platform.project_addons a join repeated.addons s on s.id = a.id where s.addon_type = 'ipv4'`,
    ),
  ).toBe(1)
})

test('a comparison that breaks off in the swap opens the earlier tables again, and a later proof counts alone', async () => {
  const { session, expand, backfill, prove, swap } = await earlier('broken')
  await expand()
  await backfill()
  expect(await prove()).toMatchObject(isProved)
  let isBreaking = false
  for (const place of ['starts_with(l.reason', 'repeatable read']) {
    const breaking = await watched(database.adminUrl, (text) => {
      if (!text.includes(place)) return
      isBreaking = true
      throw Object.assign(new Error('could not write to a file: No space left on device'), { code: '53100' })
    })
    await expect(carrying(breaking, 'broken').swap()).rejects.toThrow('No space left on device')
    expect(isBreaking).toBe(true)
    isBreaking = false
    await session.query(`update broken.projects set name = name || '.'`)
  }

  await session.query(`update broken.projects set ref = 'x1' where ref = 'ref00000001'`)
  expect((await prove()).isProved).toBe(false)
  await expect(swap()).rejects.toThrow('prove comes first')
})

test('going over all rows again goes on after it was stopped, also where rows are still to be removed', async () => {
  const { session, expand, backfill, prove } = await earlier('again')
  await expand()
  await backfill()
  await session.query(
    `insert into platform.tax_ids (org_id, id, type, value, country) select id, gen_random_uuid(), 'eu_vat', 'STRANGE', 'DE' from again.organizations limit 1`,
  )
  expect((await prove()).isProved).toBe(false)
  const stopped = new AbortController()
  stopped.abort()
  expect((await backfill({ again: true, signal: stopped.signal })).isComplete).toBe(false)
  await expect(prove()).rejects.toThrow('backfill comes first')
  expect((await backfill()).isComplete).toBe(true)
  expect(await prove()).toMatchObject(isProved)
})

test('secrets that could not be emptied are told before anything is done', async () => {
  const { session } = await earlier('stubborn', {
    isLarge: true,
    changes: [
      'alter table stubborn.credentials alter anon_key type varchar(20)',
      `alter table stubborn.credentials add check (jwt_secret like 'jwt%')`,
      'alter table stubborn.projects enable always trigger touched',
    ],
  })
  expect(await messagesOf(session, 'stubborn')).toEqual([
    'projects has a trigger that fires even in sessions that silence triggers: make it an ordinary one with `alter table … enable trigger`',
    'credentials has secrets in anon_key, which takes neither null nor a word of 24 characters: let it take null',
    expect.stringMatching(
      /^credentials has the check \w+, which refuses the word that takes the place of a secret in jwt_secret, `sealed` with the id of the row: drop it, or let jwt_secret take null$/,
    ),
  ])
})

test('a secret in a short column is emptied once, and comes back', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('short', {
    changes: ['alter table short.credentials alter anon_key type varchar(30)'],
  })
  const before = await rowsOf(session, 'short')
  await expand()
  await backfill()
  await prove()
  await swap()
  expect(await contract()).toMatchObject({ tables: [{ inClear: 0 }, { emptied: 4, inClear: 0 }] })
  expect(await contract()).toMatchObject({ tables: [{ emptied: 0 }, { emptied: 0, inClear: 0 }] })
  await down()
  expect(await rowsOf(session, 'short')).toEqual(before)
})
