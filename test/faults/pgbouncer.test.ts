import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  CommitUnknownError,
  ConflictError,
  IsolationError,
  TenantryError,
  TimeoutError,
  UnavailableError,
  UnsafeStatementError,
} from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { type PgBouncer, pgBouncer, startPgBouncer, whyWithoutPgBouncer } from '../support/pgbouncer.js'
import { type Proxy, startProxy } from '../support/proxy.js'

// About a minute of 20 callers with TENANTRY_ALL=1.
const rounds = process.env.TENANTRY_ALL === '1' ? 300 : 15
const minutes = { timeout: 1_800_000 }
const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`

const database = useDatabase()

describe.skipIf(pgBouncer === undefined)(`through PgBouncer in transaction mode${whyWithoutPgBouncer}`, () => {
  let pooler: PgBouncer
  /** Between us and the pooler: to break off what is under way as a process that is killed does. */
  let proxy: Proxy
  let tenancy: Tenancy

  beforeAll(async () => {
    pooler = await startPgBouncer(database.appUrl)
    proxy = await startProxy(pooler.url)
  })
  afterAll(async () => {
    await proxy.close()
    await pooler.stop()
  })
  beforeEach(async () => {
    tenancy = await openTenancy({ url: proxy.url, pool: { max: 20 }, transactionPooler: true, keys })
  })
  afterEach(() => tenancy.close({ drain: 0 }))

  const newOrg = async (): Promise<Org> => tenancy.forOrg(await createOrganization(database.admin))
  const agent = (org: Org, username: string) => ({ name: `${org.id} ${username}`, username })
  const foreign = (org: Org, rows: readonly { name: string }[]) => rows.filter(({ name }) => !name.startsWith(org.id))

  /** Runs it on each of the two server connections, through the pooler: both are held at once. */
  async function onEachConnection<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
    const clients = [0, 1].map(() => new pg.Client(pooler.url))
    try {
      await Promise.all(clients.map((client) => client.connect()))
      const found: Row[] = []
      const pids = new Set<unknown>()
      for (const client of clients) {
        await client.query('begin')
        pids.add((await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid)
        found.push(...(await client.query<Row>(text)).rows)
      }
      expect(pids.size).toBe(2)
      // Not left to the end of the client, with which the pooler would end the connection of the server too.
      for (const client of clients) await client.query('commit')
      return found
    } finally {
      await Promise.all(clients.map((client) => client.end()))
    }
  }

  /** Neither server connection knows an organization, nor gives a row without one. */
  async function expectUnbound(): Promise<void> {
    const bound = await onEachConnection<{ org: string }>(
      "select coalesce(current_setting('tenantry.org_id', true), '') as org",
    )
    expect(bound).toEqual([{ org: '' }, { org: '' }])
    const client = new pg.Client(pooler.url)
    await client.connect()
    await expect(client.query('select from platform.agents')).rejects.toThrow('no organization is bound')
    await client.end()
  }

  test('20 callers of several organizations over two server connections never see another’s row', minutes, async () => {
    const orgs = await Promise.all(Array.from({ length: 5 }, newOrg))
    const seen: { name: string }[] = []
    const caller = async (_: unknown, index: number): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        const org = orgs[(index + round) % orgs.length] as Org
        const username = `a-${index}-${round}`
        const made = await org.agents.create(agent(org, username))
        const [found, page] = await org.batch((inner) => [inner.agents.find(made.id), inner.agents.list({ limit: 20 })])
        const renamed = await org.transaction(async (tx) => {
          await expect(tx.transaction((inner) => inner.agents.create(agent(org, username)))).rejects.toThrow(
            ConflictError,
          )
          return tx.agents.update(made.id, { name: `${org.id} again` })
        })
        const other = orgs[(index + round + 1) % orgs.length] as Org
        expect(await other.agents.find(made.id)).toBeUndefined()
        if (found === undefined) throw new Error('its own agent is not there')
        seen.push(
          ...foreign(org, [made, found, renamed, ...page.items, ...(await org.db.query.agents.findMany({ limit: 5 }))]),
        )
      }
    }
    await Promise.all(Array.from({ length: 20 }).map(caller))
    expect(seen).toEqual([])
    const stored = await Promise.all(orgs.map((org) => org.agents.count()))
    expect(stored.reduce((sum, count) => sum + count)).toBe(20 * rounds)
    await expectUnbound()
  })

  test('a transaction is one, with its savepoint, its rollback, and an error in the middle', async () => {
    const org = await newOrg()
    await org.transaction(async (tx) => {
      await tx.agents.create(agent(org, 'kept'))
      await tx
        .transaction(async (inner) => {
          await inner.agents.create(agent(org, 'taken-back'))
          throw new Error('changed my mind')
        })
        .catch(() => undefined)
    })
    await expect(
      org.transaction(async (tx) => {
        await tx.agents.create(agent(org, 'lost'))
        await tx.agents.create(agent(org, 'kept'))
      }),
    ).rejects.toThrow(ConflictError)
    await expect(
      org.batch((inner) => [inner.agents.create(agent(org, 'lost')), inner.agents.create(agent(org, 'kept'))]),
    ).rejects.toThrow(ConflictError)
    expect((await org.agents.list()).items.map(({ username }) => username)).toEqual(['kept'])
    await expectUnbound()
  })

  test('no statement keeps a name on the server', async () => {
    const org = await newOrg()
    for (let round = 0; round < 3; round++) {
      await Promise.all([org.agents.list(), org.agents.count(), org.transaction((tx) => tx.agents.count())])
    }
    expect(await onEachConnection('select name from pg_prepared_statements')).toEqual([])
  })

  test('a client that is killed in the middle of a transaction leaves neither rows nor its binding', async () => {
    const org = await newOrg()
    for (let round = 0; round < 4; round++) {
      const killed = org.transaction(async (tx) => {
        await tx.agents.create(agent(org, `killed-${round}`))
        proxy.reset()
        await tx.agents.create(agent(org, `killed-${round}-too`))
      })
      await expect(killed).rejects.toThrow(UnavailableError)
    }
    expect(await org.agents.count()).toBe(0)
    await expectUnbound()
  })

  test.each([
    { text: "update platform.agents set name = 'new'", expected: CommitUnknownError },
    { text: 'select from platform.agents for update', expected: TimeoutError },
  ])('an abort ends the call, and the next callers find nothing of it: $text', async ({ text, expected }) => {
    const { admin } = database
    const [org, other] = await Promise.all([newOrg(), newOrg()])
    await org.agents.create(agent(org, 'ada'))
    const controller = new AbortController()
    const scope = tenancy.forOrg(org.id, { signal: controller.signal })
    const waiting = `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
    await admin.query('begin')
    await admin.query('select from platform.agents where org_id = $1 for update', [org.id])
    const aborted = expect(scope.db.execute(text)).rejects.toThrow(expected)
    while ((await admin.query(waiting)).length === 0);
    controller.abort()
    await aborted
    await expect(scope.agents.count()).rejects.toThrow(TimeoutError)
    expect(await Promise.all([1, 2, 3].map(() => other.agents.count()))).toEqual([0, 0, 0])
    await admin.query('rollback')
    await expectUnbound()
  })

  test('SQL text of a scope cannot leave a binding, and one that others leave serves nobody else', async () => {
    const [org, other] = await Promise.all([newOrg(), newOrg()])
    await other.agents.create(agent(other, 'ada'))
    for (const text of [`set tenantry.org_id = '${other.id}'`, `set session authorization default`, 'discard all']) {
      await expect(org.db.execute(text), text).rejects.toThrow(UnsafeStatementError)
    }
    const moved = org.db.execute(`select set_config('tenantry.org_id', '${other.id}', false)`)
    await expect(moved).rejects.toThrow(TenantryError)
    await expectUnbound()

    await onEachConnection(`set tenantry.org_id = '${other.id}'`)
    await expect(org.agents.list()).rejects.toThrow(IsolationError)
    await expect(org.transaction((tx) => tx.agents.list())).rejects.toThrow(IsolationError)
    await expect(org.batch((inner) => [inner.agents.list()])).rejects.toThrow(IsolationError)
    expect((await other.agents.list()).items.map(({ name }) => name)).toEqual([`${other.id} ada`])
    await onEachConnection('reset tenantry.org_id')
    expect(await org.agents.count()).toBe(0)
    await expectUnbound()
  })
})

describe.skipIf(pgBouncer === undefined)(`PgBouncer is told of, or found out${whyWithoutPgBouncer}`, () => {
  test('one that refuses timeouts is named as the reason, and the url may say it', async () => {
    const pooler = await startPgBouncer(database.appUrl)
    await expect(openTenancy({ url: pooler.url, keys })).rejects.toThrow(
      /the connection pooler refuses timeouts .* pass `transactionPooler: true`/,
    )
    const tenancy = await openTenancy({ url: `${pooler.url}?pgbouncer=true`, keys })
    await expect(tenancy.ping()).resolves.toBeUndefined()
    await tenancy.close()
    await pooler.stop()
  })

  test('one that lets them pass is found out: no statement gets a name', async () => {
    const pooler = await startPgBouncer(database.appUrl, { ignoresStartup: true })
    const tenancy = await openTenancy({ url: pooler.url, keys })
    const org = tenancy.forOrg(await createOrganization(database.admin))
    for (let round = 0; round < 3; round++) {
      await Promise.all([org.agents.list(), org.agents.count(), org.transaction((tx) => tx.agents.count())])
    }
    const client = new pg.Client(pooler.url)
    await client.connect()
    expect((await client.query('select name from pg_prepared_statements')).rows).toEqual([])
    await client.end()
    await tenancy.close()
    await pooler.stop()
  })
})
