import { expect, test } from 'vitest'
import { PoolTimeoutError } from '../../src/core/errors.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import {
  everything,
  expectKept,
  expectNoLeakWarning,
  keys,
  minutes,
  newOrganizations,
  someWork,
  tally,
  untilAnswered,
  useEachConnection,
  watchedPool,
  writeDuring,
} from './writers.js'

const kills = everything ? 500 : 20

const database = useDatabase()
expectNoLeakWarning()

test(`${kills} backends that are ended under load lose no write and keep no binding`, minutes, async () => {
  const { admin } = database
  const { pool, listeners, expectClean } = watchedPool({ connectionString: database.appUrl })
  const tenancy = await openTenancy({ pool, keys })
  const orgIds = await newOrganizations(admin)
  await useEachConnection(tenancy, orgIds)
  const before = listeners()
  const writes = await writeDuring(tenancy, orgIds, async () => {
    for (let ended = 0; ended < kills;) {
      const rows = await admin.query(`
        select pg_terminate_backend(pid, 1000) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
        order by random() limit 1`)
      ended += rows.length
      await someWork(tenancy.forOrg(orgIds[0] as string))
    }
  })
  await expectKept(admin, writes)
  const { done, unknown, failed } = tally(writes)
  if (everything) console.info({ kills, done, unknown, failed })
  expect(done).toBeGreaterThan(kills)
  expect(unknown + failed).toBeGreaterThan(0)

  await useEachConnection(tenancy, orgIds)
  expect(listeners()).toBe(before)
  await expectClean()
  await tenancy.close()
  await pool.end()
})

test('callers beyond the pool get a typed error, and are served when it is free again', async () => {
  const pool = { max: 2, connectionTimeoutMillis: 300 }
  const tenancy = await untilAnswered(() => openTenancy({ url: database.appUrl, pool, keys }))
  const holding = tenancy.forOrg(await createOrganization(database.admin))
  const beyond = tenancy.forOrg(await createOrganization(database.admin))
  await Promise.all([holding, beyond].map((one) => untilAnswered(() => one.tasks.count())))
  await holding.transaction(async (tx) => {
    await tx.tasks.enqueue({ kind: 'held' })
    await beyond.transaction(async (second) => {
      await second.tasks.count()
      await Promise.all(
        Array.from({ length: 20 }, () => expect(beyond.tasks.count()).rejects.toThrow(PoolTimeoutError)),
      )
    })
  })
  expect(await Promise.all([holding, beyond, beyond].map((one) => one.tasks.count()))).toEqual([1, 0, 0])
  await tenancy.close()
})
