import { expect, onTestFinished, test } from 'vitest'
import { analysePlatform } from '../../src/adoption/carrying/analyse-platform.js'
import { calmly } from '../../src/adoption/carrying/carrying.js'
import { findEarlierPlatform } from '../../src/adoption/carrying/earlier-platform.js'
import { platformStatus } from '../../src/adoption/carrying/platform-status.js'
import { assertMayEmpty } from '../../src/adoption/carrying/secrets-in-clear.js'
import { openTenancy } from '../../src/tenancy.js'
import { ownerSession, rowsOf } from '../support/adopting.js'
import { carrying, carryingKeys, countOf, dataKeysFor, oneOf, useEarlierPlatforms } from '../support/carrying.js'
import { mortal, watched } from '../support/mortal-session.js'

const { database, earlier } = useEarlierPlatforms()

test('contract waits for a transaction that may still read the secrets, so that no file of a table keeps one', async () => {
  const { session, expand, backfill, prove, swap } = await earlier('readers', {
    changes: [`update readers.projects set database_password = 'marked-secret-' || ref`],
  })
  await expand()
  await backfill()
  await prove()
  await swap()
  const reader = await ownerSession(database.adminUrl)
  await reader.query('begin isolation level repeatable read')
  // Of another table, since a lock on this one would hold contract back by itself.
  await reader.query('select from readers.tax_ids')
  const found: number[] = []
  const patient = await watched(database.adminUrl, async (text, params) => {
    if (!text.includes('pg_prepared_xacts')) return
    found.push((await session.query(text, params)).length)
    // The one that is running is still there when this one looks.
    if (found.length === 2) await reader.query('commit')
  })
  await carrying(patient, 'readers').contract()
  expect(found.length).toBeGreaterThanOrEqual(2)
  await session.query('checkpoint')
  const { clear } = await oneOf(
    session,
    `select position('marked-secret-'::bytea in pg_read_binary_file(pg_relation_filepath('readers.projects'))) as clear`,
  )
  expect(clear).toBe(0)
})

test('contract empties nothing where the organizations are gone from tenantry', async () => {
  const { session, expand, backfill, prove, swap, contract } = await earlier('vanished')
  const before = await rowsOf(session, 'vanished')
  await expand()
  await backfill()
  await prove()
  await swap()
  const { id } = await oneOf(
    session,
    `delete from platform.organizations where id = (select id from vanished.organizations order by slug limit 1) returning id`,
  )
  await expect(contract()).rejects.toThrow('organizations that were carried are not in tenantry any more: 1')
  expect(await rowsOf(session, 'vanished')).toEqual(before)
  await session.query('delete from tenantry_carry_vanished.roots where id = $1', [id])
  expect((await contract()).tables.map(({ inClear }) => inClear)).toEqual([0, 0])
})

test('contract asks for the owner of the tables, whom vacuum would only warn', async () => {
  const { session } = await earlier('owned')
  const carrier = 'tenantry_owned_carrier'
  await session.query(`create role ${carrier}`)
  onTestFinished(async () => {
    await database.admin.query(`drop owned by ${carrier}`)
    await database.admin.query(`drop role ${carrier}`)
  })
  await session.query(`grant usage on schema owned to ${carrier}`)
  await session.query(`grant all on all tables in schema owned to ${carrier}`)
  await session.query(`grant set on parameter session_replication_role to ${carrier}`)
  await session.query(`grant execute on function set_config to ${carrier}`)
  const { home, tables } = await findEarlierPlatform(session, 'owned')
  const asCarrier = { session, home, tables, dataKeys: dataKeysFor(carryingKeys) }
  await assertMayEmpty(asCarrier)
  await session.query(`set role ${carrier}`)
  await expect(assertMayEmpty(asCarrier)).rejects.toThrow(
    'credentials of postgres, projects of postgres must be written anew, which only the owner may',
  )
  await expect(analysePlatform(session, 'owned')).rejects.toThrow('permission denied for schema platform_migrations')
  await session.query('reset role')
  await session.query(`grant pg_read_all_data to ${carrier}`)
  await session.query(`set role ${carrier}`)
  const { findings } = await analysePlatform(session, 'owned')
  await session.query('reset role')
  expect(findings.filter(({ kind }) => kind === 'right')).toMatchObject([
    { message: expect.stringContaining('credentials of postgres, projects of postgres') as unknown },
    { message: expect.stringContaining('`vacuum full pg_catalog.pg_statistic`') as unknown },
  ])
})

test('the way back of contract cuts no secret, and keeps the word where there is none any more', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('cut', {
    changes: [
      'drop view cut.projects_with_credentials',
      'alter table cut.credentials alter jwt_secret type varchar(40)',
      'alter table cut.credentials alter anon_key drop not null',
    ],
  })
  await expand()
  await backfill()
  await prove()
  await swap()
  await contract()
  const { id: project, org } = await oneOf(
    session,
    'select id, organization_id as org from cut.projects order by ref limit 1',
  )
  const tenancy = await openTenancy({ url: database.appUrl, keys: carryingKeys })
  onTestFinished(() => tenancy.close())
  const { credentials } = tenancy.forOrg(String(org)).projects
  await session.query('update platform.projects set database_password = null where id = $1', [project])
  await credentials.rotate(String(project), { jwtSecret: 'x'.repeat(60) })
  await expect(down()).rejects.toThrow('value too long for type character varying(40)')
  await credentials.rotate(String(project), { jwtSecret: 'x'.repeat(40) })
  expect(await down()).toBe('contract')
  expect(
    await oneOf(
      session,
      `select p.database_password like 'sealed %' as is_word, c.jwt_secret from cut.projects p join cut.credentials c on c.project_id = p.id where p.id = '${String(project)}'`,
    ),
  ).toEqual({ is_word: true, jwt_secret: 'x'.repeat(40) })
})

test('a check that refuses null is told before the first row is carried', async () => {
  const { session } = await earlier('checked', {
    changes: [
      'alter table checked.projects alter database_password drop not null, add constraint has_password check (database_password is not null)',
    ],
  })
  const { findings } = await analysePlatform(session, 'checked')
  expect(findings.filter(({ needs }) => needs === 'mend')).toMatchObject([
    {
      message:
        'projects has the check has_password, which refuses the null that takes the place of a secret in database_password: drop it',
    },
  ])
})

test('so is a check over several secrets, also where only some rows would break it', async () => {
  const { session } = await earlier('together', {
    changes: [
      'alter table together.credentials alter jwt_secret drop not null, alter anon_key drop not null, add constraint has_a_key check (jwt_secret is not null or anon_key is not null)',
    ],
  })
  const mend = async () =>
    (await analysePlatform(session, 'together')).findings
      .filter(({ needs }) => needs === 'mend')
      .map(({ message }) => message)
  expect(await mend()).toEqual([
    'credentials has the check has_a_key, which refuses the null that takes the place of a secret in anon_key, jwt_secret: drop it',
  ])
  await session.query('alter table together.credentials drop constraint has_a_key')
  const { ref } = await oneOf(session, 'select max(ref) as ref from together.projects')
  await session.query(
    `alter table together.projects alter database_password drop not null, add constraint has_password check (ref <> '${String(ref)}' or database_password is not null)`,
  )
  expect(await mend()).toEqual([
    'projects has the check has_password, which refuses the null that takes the place of a secret in database_password: drop it',
  ])
})

test('numbers of binary digits and texts of loose collations keep their values', async () => {
  const { session, expand, backfill, prove } = await earlier('floating', {
    isLarge: true,
    changes: [
      `create collation floating.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
      'alter table floating.customer_profiles alter country type text collate floating.loose',
      'alter table floating.invoices alter invoice_number type text collate floating.loose',
      'alter table floating.billing_plans alter price type real',
      `update floating.billing_plans set price = 123456.78 where id = 'tier_pro'`,
    ],
  })
  // A login may have it, and then the server prints six digits.
  await session.query('set extra_float_digits = 0')
  await expand()
  await backfill()
  expect((await prove()).isProved).toBe(true)
  expect(await countOf(session, 'from platform.billing_plans where price = 123456.78')).toBe(1)
})

test('the way back of the swap is open to an organization of which the keys were destroyed', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('buried')
  await expand()
  await backfill()
  await prove()
  await swap()
  await session.query(
    `update platform.org_keys set wrapped = null, state = 'destroyed', destroyed_at = now()
     where org_id = (select id from buried.organizations order by id limit 1)`,
  )
  await contract()
  expect(await down()).toBe('contract')
  expect(await down()).toBe('swap')
})

test('policies that would hide rows are an error while a step works, and the session is as before afterwards', async () => {
  const session = await ownerSession(database.adminUrl)
  const setting = async () => (await oneOf(session, 'show row_security')).row_security
  expect(await calmly(session, setting)).toBe('off')
  expect(await setting()).toBe('on')
})

test('a contract that refuses before the first secret is emptied leaves the way back of the swap open', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('unmarked')
  await expand()
  await backfill()
  await prove()
  await swap()
  await session.query(
    `update platform.credentials set anon_key = jwt_secret where project_id = (select id from unmarked.projects order by id limit 1)`,
  )
  await expect(contract()).rejects.toThrow('does not open, so nothing was emptied')
  await expect(down()).rejects.toThrow('with another secret')
})

test('the way back of contract that was interrupted is known as half, and goes on', async () => {
  const { session, expand, backfill, prove, swap, contract, down } = await earlier('halved')
  const before = await rowsOf(session, 'halved')
  await expand()
  await backfill()
  await prove()
  await swap()
  await contract()
  const { session: dying, died } = await mortal(database, (text) => text.startsWith('update "halved"."projects"'))
  await expect(carrying(dying, 'halved').down()).rejects.toThrow('the connection was lost')
  expect(died()).toBe(true)
  const { steps } = await platformStatus(session, 'halved')
  expect(steps.find(({ name }) => name === 'contract')).toMatchObject({ state: 'half' })
  expect(await down()).toBe('contract')
  expect(await rowsOf(session, 'halved')).toEqual(before)
})
