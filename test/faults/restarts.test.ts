import { afterAll, beforeAll, expect, test } from 'vitest'
import { UnavailableError } from '../../src/core/errors.js'
import { openSession } from '../../src/database/session.js'
import type { Org } from '../../src/org.js'
import { openTenancy } from '../../src/tenancy.js'
import { type FailingServer, startFailingServer } from './failing-server.js'
import {
  everything,
  expectKept,
  expectNoLeakWarning,
  keys,
  minutes,
  newOrganizations,
  someWork,
  tally,
  useEachConnection,
  watchedPool,
  writeDuring,
} from './writers.js'

const crashes = everything ? 20 : 2
const restarts = everything ? 20 : 1

let server: FailingServer

beforeAll(async () => {
  server = await startFailingServer()
})
afterAll(() => server.stop())
expectNoLeakWarning()

test(`${crashes} crashes of the server under load lose no write, and it is found again`, minutes, async () => {
  const tenancy = await openTenancy({ url: server.appUrl, pool: { max: 4 }, keys })
  const before = await openSession({ url: server.adminUrl })
  const orgIds = await newOrganizations(before)
  await before.close()
  const writes = await writeDuring(tenancy, orgIds, async () => {
    for (let crashed = 0; crashed < crashes; crashed++) {
      await server.crash()
      await someWork(tenancy.forOrg(orgIds[0] as string))
    }
  })
  const admin = await openSession({ url: server.adminUrl })
  await expectKept(admin, writes)
  await admin.close()
  const { done, unknown, failed } = tally(writes)
  if (everything) console.info({ crashes, done, unknown, failed })
  expect(done).toBeGreaterThan(20 * crashes)
  expect(unknown + failed).toBeGreaterThan(0)
  await tenancy.close()
})

test.each(['fast', 'immediate'] as const)(
  `a server that is stopped (%s) and started again, ${restarts} times under load, loses no write`,
  minutes,
  async (mode) => {
    const first = await openSession({ url: server.adminUrl })
    const orgIds = await newOrganizations(first)
    await first.close()
    const { pool, listeners, expectClean } = watchedPool({ connectionString: server.appUrl })
    const tenancy = await openTenancy({ pool, keys })
    await useEachConnection(tenancy, orgIds)
    const before = listeners()
    const org = tenancy.forOrg(orgIds[0] as string)
    const writes = await writeDuring(tenancy, orgIds, async (soFar) => {
      for (let restarted = 0; restarted < restarts; restarted++) {
        await someWork(org)
        await server.halt(mode)
        const failed = soFar.length
        await expect(tenancy.ping()).rejects.toThrow(UnavailableError)
        // Refused for so long that every writer has noticed.
        await expect.poll(() => soFar.length, { timeout: 60_000 }).toBeGreaterThan(failed + 16)
        await server.resume()
        await someWork(org)
      }
    })
    const admin = await openSession({ url: server.adminUrl })
    await expectKept(admin, writes)
    const { done, unknown, failed } = tally(writes)
    if (everything) console.info({ mode, restarts, done, unknown, failed })
    expect(done).toBeGreaterThan(20 * restarts)
    expect(failed).toBeGreaterThan(16 * restarts - 1)

    await useEachConnection(tenancy, orgIds)
    expect(listeners()).toBe(before)
    await expectClean()
    await expectEachItsOwn(orgIds.map((id) => tenancy.forOrg(id)))
    await admin.close()
    await tenancy.close()
    await pool.end()
  },
)

async function expectEachItsOwn(orgs: readonly Org[]): Promise<void> {
  for (const org of orgs) {
    const { items } = await org.tasks.list({ limit: 10 })
    expect(new Set(items.map(({ orgId }) => orgId))).toEqual(new Set([org.id]))
  }
}
