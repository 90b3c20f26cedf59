import { copyFile, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { pgSchema, primaryKey, text } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import {
  ConflictError,
  NotFoundError,
  PoolTimeoutError,
  UnavailableError,
  UnsafeRoleError,
} from '../../src/core/errors.js'
import { agents, subscriptions } from '../../src/schema/index.js'
import { id, orgId } from '../../src/schema/shared/columns.js'
import { tenantTable } from '../../src/schema/shared/isolation.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { access } from '../../examples/your-own-tables/src/permissions.js'
import { openTenancy } from '../../src/tenancy.js'
import { collectGarbage } from '../support/collected-garbage.js'
import { type EmbeddedTenancy, openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'

let embedded: EmbeddedTenancy
const heard: unknown[] = []
beforeAll(async () => {
  embedded = await openEmbeddedTenancy(undefined, {
    debug: true,
    onQuery: ({ statements }) => heard.push(...statements),
  })
})
afterAll(() => embedded.close())

test('the embedded database keeps organizations apart like a server', async () => {
  const org = await embedded.newOrg()
  const other = await embedded.newOrg()
  const ada = await org.agents.create({ name: 'Ada', username: 'ada', settings: { n: 1 } })
  expect(await org.agents.get(ada.id)).toEqual(ada)
  expect(ada.createdAt).toBeInstanceOf(Date)
  expect(await other.agents.find(ada.id)).toBeUndefined()
  expect(await other.db.select().from(agents)).toEqual([])
  await expect(other.agents.update(ada.id, { name: 'Taken' })).rejects.toThrow(NotFoundError)
  await expect(org.agents.create({ name: 'Eve', username: 'ada' })).rejects.toThrow(ConflictError)
})

test('the embedded database keeps no answer', async () => {
  const org = await embedded.newOrg()
  const instructions = 'x'.repeat(10_000)
  for (let made = 0; made < 40; made++) await org.agents.create({ name: 'Ada', username: `ada-${made}`, instructions })
  const heap = async () => {
    await collectGarbage()
    return process.memoryUsage().heapUsed
  }
  await org.agents.list()
  const before = await heap()
  for (let read = 0; read < 50; read++) await org.agents.list()
  // It has read 20 MB.
  expect((await heap()) - before).toBeLessThan(5_000_000)
})

test('the next one is loaded from an image of a migrated database; an image that lacks migrations is migrated', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'tenantry-cache-'))
  vi.stubEnv('TENANTRY_EMBEDDED_CACHE', cache)
  const agentsOfNewOne = async (): Promise<number> => {
    const { newOrg, close } = await openEmbeddedTenancy()
    const org = await newOrg({ name: 'The same name' })
    await org.agents.create({ name: 'Ada', username: 'ada' })
    const count = await org.agents.count()
    await close()
    return count
  }
  expect(await agentsOfNewOne()).toBe(1)
  const [empty = '', migrated = '', ...others] = (await readdir(cache)).sort()
  expect([empty, migrated, others]).toEqual([
    expect.stringMatching(/-empty\.image$/),
    expect.stringMatching(/-migrated-[0-9a-f]{16}\.image$/),
    [],
  ])
  expect(await agentsOfNewOne()).toBe(1)
  await copyFile(join(cache, empty), join(cache, migrated))
  expect(await agentsOfNewOne()).toBe(1)
  // A database that is not loaded from it would have been saved over it.
  expect((await stat(join(cache, migrated))).size).toBe((await stat(join(cache, empty))).size)
  vi.unstubAllEnvs()
  await rm(cache, { recursive: true })
})

test('a new organization has roles, an owner who may act, and a plan without limits', async () => {
  const org = await embedded.newOrg({ name: 'With an owner' })
  const { items } = await org.members.list()
  expect(items).toMatchObject([{ role: 'owner', status: 'active' }])
  const actor = await org.actorFor(items[0]?.userId ?? '')
  const owned = embedded.tenancy.forOrg(org.id, { actor })
  expect(owned.can('members:write')).toBe(true)
  expect(await owned.organization.get()).toMatchObject({ name: 'With an owner', allowUserManagement: true })
  const role = await owned.roles.create({ key: 'support', name: 'Support', permissions: ['agents:read'] })
  expect(role).toMatchObject({ isBuiltIn: false })
  const [plan] = await org.db.select({ plan: subscriptions.planId }).from(subscriptions)
  expect(plan).toEqual({ plan: 'tier_enterprise' })
  await expect(embedded.newOrg({ name: 'With an owner' })).rejects.toThrow(ConflictError)
})

test('the system provisions, changes catalogs and maintains', async () => {
  const system = embedded.tenancy.system({ actor: 'test', reason: 'a test' })
  const owner = { email: 'ada@acme.example', emailConfirmed: true }
  const acme = { key: 'acme', name: 'Acme Inc', slug: 'acme', plan: 'tier_free', owner }
  const { organization } = await system.organizations.provision(acme)
  expect((await system.organizations.provision(acme)).organization.id).toBe(organization.id)
  const org = embedded.tenancy.forOrg(organization.id)
  expect((await org.members.list()).items).toMatchObject([{ email: 'ada@acme.example' }])

  await system.catalog.plans.archive('tier_free')
  await expect(system.organizations.provision({ ...acme, key: 'other', name: 'Other', slug: 'other' })).rejects.toThrow(
    'is not an active plan',
  )
  await system.catalog.plans.restore('tier_free')
  await org.tasks.enqueue({ kind: 'one' })
  await org.tasks.claim({ owner: 'worker' })
  expect(await system.maintenance.run()).toMatchObject({
    rows: { taskLeases: 0, sessions: 0 },
    isComplete: true,
  })
})

test('errors have their reason and calls are heard, where that is asked for', async () => {
  const org = await embedded.newOrg()
  await expect(org.db.execute(sql`select nothing`)).rejects.toMatchObject({ debug: { sqlstate: '42703' } })
  expect(heard).not.toEqual([])
})

test('transactions, savepoints and batches do what they do on a server', async () => {
  const org = await embedded.newOrg()
  await org.transaction(async (tx) => {
    await tx.agents.create({ name: 'Ada', username: 'ada' })
    const inner = tx.transaction(async (nested) => {
      await nested.agents.create({ name: 'Eve', username: 'eve' })
      throw new Error('only the inner one')
    })
    await expect(inner).rejects.toThrow('only the inner one')
  })
  const [count, page] = await org.batch((all) => [all.agents.count(), all.agents.list()])
  expect(count).toBe(1)
  expect(page.items.map((agent) => agent.username)).toEqual(['ada'])
})

test('another handle inside a transaction waits for the one connection in vain, and does not hang', async () => {
  const org = await embedded.newOrg()
  await org.transaction(async (tx) => {
    await tx.agents.count()
    await expect(org.agents.count()).rejects.toThrow(PoolTimeoutError)
  })
  await expect(org.agents.count()).resolves.toBe(0)
})

test('a column of the host without a migration is found when the database is opened', async () => {
  const migrations = fileURLToPath(new URL('../../examples/your-own-tables/drizzle', import.meta.url))
  const tickets = pgSchema('helpdesk').table(
    'tickets',
    { orgId: orgId(), id: id(), subject: text('subject').notNull(), color: text('color') },
    (t) => [primaryKey({ name: 'tickets_pkey', columns: [t.orgId, t.id] }), ...tenantTable('tickets', t)],
  )
  declareTable(tickets, { kind: 'tenant' })
  const refused = openEmbeddedTenancy({ schema: { tickets }, migrations, ...access })
  await expect(refused).rejects.toThrow(UnsafeRoleError)
  await expect(refused).rejects.toThrow('- a column is missing: color of helpdesk.tickets\n  write its migration by')
})

test('a directory serves one process at a time, and keeps what was written', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tenantry-embedded-'))
  const data = join(directory, 'data')
  const keys = `test:${Buffer.alloc(32, 1).toString('base64')}`
  const first = await openTenancy({ embedded: data, keys })
  await expect(openTenancy({ embedded: data, keys })).rejects.toThrow(UnavailableError)
  await first.close()
  const second = await openTenancy({ embedded: data, keys })
  await second.ping()
  await second.close()
  await rm(directory, { recursive: true })
})
