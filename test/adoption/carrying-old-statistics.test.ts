import { expect, onTestFinished, test } from 'vitest'
import { rewriteStatistics } from '../../src/adoption/carrying/old-statistics.js'
import { ownerSession } from '../support/adopting.js'
import { oneOf, useEarlierPlatforms } from '../support/carrying.js'

const { database, earlier } = useEarlierPlatforms()

test('after contract no file of the database has a secret, also where the server had statistics of it', async () => {
  const { session, expand, backfill, prove, swap, contract } = await earlier('measured', {
    changes: [
      `update measured.projects set database_password = 'marked-secret-' || ref`,
      `update measured.credentials set anon_key = 'marked-secret-' || id`,
      `create statistics measured.passwords (mcv) on database_password, ref from measured.projects`,
      'analyze measured.projects, measured.credentials',
    ],
  })
  const filesWithSecrets = async () => {
    await session.query('checkpoint')
    const { files } = await oneOf(
      session,
      `select array(select f.name from (
         select 'base/' || d.oid || '/' || l.file as name from pg_database d, pg_ls_dir('base/' || d.oid) l(file) where d.datname = current_database()
       ) f where position('marked-secret-'::bytea in pg_read_binary_file(f.name, true)) > 0 order by 1) as files`,
    )
    return files
  }
  await expand()
  await backfill()
  await prove()
  await swap()
  expect(await filesWithSecrets()).not.toEqual([])
  expect(await contract()).toMatchObject({ statistics: [] })
  expect(await filesWithSecrets()).toEqual([])
})

test('a login that may not write the statistics anew is told the statements', async () => {
  const session = await ownerSession(database.adminUrl)
  const owner = 'tenantry_measured_owner'
  await session.query(`create role ${owner}`)
  onTestFinished(async () => {
    await database.admin.query(`drop role ${owner}`)
  })
  const statements = ['vacuum full pg_catalog.pg_statistic', 'vacuum full pg_catalog.pg_statistic_ext_data']
  await session.query(`set role ${owner}`)
  expect(await rewriteStatistics(session)).toEqual(statements)
  await session.query('reset role')
  expect(await rewriteStatistics(session)).toEqual([])
})
