import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CommitUnknownError, UnavailableError } from '../../src/core/errors.js'
import { openSession, type Session } from '../../src/database/session.js'
import type { Org } from '../../src/org.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { keys } from './writers.js'

const database = useDatabase()
let tenancy: Tenancy
beforeAll(async () => {
  tenancy = await openTenancy({ url: database.appUrl, keys })
})
afterAll(() => tenancy.close({ drain: 0 }))

const agent = (username: string) => ({ name: 'Ada', username })
const login = () => decodeURIComponent(new URL(database.appUrl).username)
/** Ends every connection of the application. */
const kill = () =>
  database.admin.query(
    `select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database() and usename = $1`,
    [login()],
  )

async function newOrg(): Promise<Org> {
  return tenancy.forOrg(await createOrganization(database.admin))
}

/** The agents, and those that an entry says were created. */
async function written({ id }: Org): Promise<{ agents: string[]; entries: string[] }> {
  const [agents, entries] = await Promise.all(
    [
      'select id from platform.agents where org_id = $1 order by 1',
      `select resource_id as id from platform.audit_logs where org_id = $1 and event_type = 'agents.create' order by 1`,
    ].map(async (text) => (await database.admin.query<{ id: string }>(text, [id])).map((row) => row.id)),
  )
  return { agents: agents ?? [], entries: entries ?? [] }
}

const nothing = { agents: [], entries: [] }

/** While `holder` has this, a new agent waits: for the log, or to see whether its username is free. */
const locks: Readonly<Record<string, (holder: Session, org: Org) => Promise<unknown>>> = {
  'the log': (holder) => holder.query('lock table platform.audit_logs in share mode'),
  'the row': (holder, org) =>
    holder.query(
      `insert into platform.agents (org_id, id, name, username) values ($1, gen_random_uuid(), 'Eve', 'ada')`,
      [org.id],
    ),
}

describe('K08: a connection that is ended leaves the change with its entry, or neither', () => {
  test.each([
    ['one write', 1],
    ['two writes', 2],
  ])('after %s of a transaction', async (_, count) => {
    const org = await newOrg()
    const ended = org.transaction(async (tx) => {
      for (let place = 0; place < count; place++) await tx.agents.create(agent(`ada-${place}`))
      await kill()
      await tx.agents.create(agent('eve'))
    })
    await expect(ended).rejects.toThrow(UnavailableError)
    expect(await written(org)).toEqual(nothing)
    await org.agents.create(agent('ada'))
    const { agents, entries } = await written(org)
    expect(agents).toHaveLength(1)
    expect(entries).toEqual(agents)
  })

  test.each(Object.entries(locks))('while a lone write waits for %s', async (_, lock) => {
    const org = await newOrg()
    const holder = await openSession({ url: database.adminUrl })
    try {
      await holder.query('begin')
      await lock(holder, org)
      const ended = expect(org.agents.create(agent('ada'))).rejects.toThrow(UnavailableError)
      const waiting = () =>
        database.admin.query(
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        )
      await expect.poll(waiting, { timeout: 20_000 }).toHaveLength(1)
      await kill()
      await ended
    } finally {
      await holder.close()
    }
    expect(await written(org)).toEqual(nothing)
  })

  test('under load, at any moment', async () => {
    const org = await newOrg()
    const done: string[] = []
    let next = 0
    const write = async (): Promise<void> => {
      for (let place = next++; place < 300; place = next++) {
        const one = agent(`ada-${place}`)
        const made = place % 2 === 0 ? org.agents.create(one) : org.transaction((tx) => tx.agents.create(one))
        await made.then(
          ({ id }) => done.push(id),
          (error: unknown) => {
            if (!(error instanceof CommitUnknownError || error instanceof UnavailableError)) throw error
          },
        )
        if (place % 15 === 0) await kill()
      }
    }
    await Promise.all([write(), write(), write(), write()])
    const { agents, entries } = await written(org)
    expect(entries).toEqual(agents)
    expect(agents).toEqual(expect.arrayContaining(done))
    expect(done.length).toBeGreaterThan(100)
  })
})
