import { setImmediate as turn } from 'node:timers/promises'
import { eq } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  ConflictError,
  NotFoundError,
  ScopeClosedError,
  TenantryError,
  TransactionAbortedError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Org } from '../../src/org.js'
import { openTenancy } from '../../src/tenancy.js'
import { type Agent, agentPatch, agents } from '../../src/schema/index.js'
import { countRoundTrips, startProxy } from '../support/proxy.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg, database } = useTenancy()

const newAgent = (org: Org, username: string) => org.agents.create({ name: username, username })
const usernames = async (org: Org) =>
  (await org.agents.list({ orderBy: 'username' })).items.map(({ username }) => username)
const failure = new Error('mine')

/** As docs/your-own-tables.md says it. */
class Renamed extends ScopedRepository<Agent> {
  constructor(scope: Scope) {
    super(scope, agents)
  }

  shorten(id: string): Promise<Agent> {
    return this.scope.track(this.rename(id))
  }

  private async rename(id: string): Promise<Agent> {
    const { name } = await this.get(id)
    return this.updateRow(agentPatch, id, { name: name.slice(0, 1) })
  }
}
const states = (outcomes: readonly PromiseSettledResult<unknown>[]) => outcomes.map(({ status }) => status)

describe('reads beside each other in a transaction', () => {
  test('go out in one write, and see what was written before them', async () => {
    const proxy = await startProxy(database.appUrl)
    const tenancy = await openTenancy({
      url: proxy.url,
      pool: { max: 1 },
      keys: `test:${Buffer.alloc(32, 7).toString('base64')}`,
    })
    const org = tenancy.forOrg((await newOrg()).id)
    await org.transaction(async (tx) => {
      const ada = await newAgent(tx, 'ada')
      const trips = countRoundTrips(proxy)
      const [found, count, missing, page] = await Promise.all([
        tx.agents.find(ada.id),
        tx.agents.count(),
        tx.agents.get(newId()).catch((error: unknown) => error),
        tx.agents.list(),
      ])
      // One more tells why `get` found nothing.
      expect(trips()).toBeLessThanOrEqual(2)
      expect([found, count, page.items]).toEqual([ada, 1, [ada]])
      expect(missing).toBeInstanceOf(NotFoundError)
    })
    expect(await org.agents.count()).toBe(1)
    await tenancy.close()
    await proxy.close()
  })

  test('keep their places beside writes', async () => {
    const org = await newOrg()
    const seen = await org.transaction((tx) =>
      Promise.all([
        tx.agents.count(),
        tx.agents.count(),
        newAgent(tx, 'ada'),
        tx.agents.count(),
        tx.transaction((nested) => newAgent(nested, 'bob')),
        tx.agents.count(),
      ]),
    )
    expect(seen.filter((one) => typeof one === 'number')).toEqual([0, 0, 1, 2])
  })

  test('are forgotten calls when they are not awaited', async () => {
    const org = await newOrg()
    const attempt = org.transaction(async (tx) => {
      await newAgent(tx, 'ada')
      void tx.agents.count()
      void tx.agents.count()
    })
    await expect(attempt).rejects.toThrow('ended before 2 of its calls')
    expect(await org.agents.count()).toBe(0)
  })
})

describe('a call beside a nested transaction that fails', () => {
  test('is kept: it is sent after the rollback to the savepoint', async () => {
    const org = await newOrg()
    const outcomes = await org.transaction((tx) =>
      Promise.allSettled([
        tx.transaction(async (nested) => {
          await newAgent(nested, 'ada')
          throw failure
        }),
        newAgent(tx, 'bob'),
        tx.batch((all) => [all.agents.create({ name: 'Eve', username: 'eve' })]),
      ]),
    )
    expect(states(outcomes)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
    expect(await usernames(org)).toEqual(['bob', 'eve'])
  })

  test('is kept when the nested one has done nothing', async () => {
    const org = await newOrg()
    const outcomes = await org.transaction((tx) =>
      Promise.allSettled([tx.transaction(() => Promise.reject(failure)), newAgent(tx, 'bob')]),
    )
    expect(states(outcomes)).toEqual(['rejected', 'fulfilled'])
    expect(await usernames(org)).toEqual(['bob'])
  })

  const severalSteps: Record<string, (tx: Org) => Promise<unknown>> = {
    setTools: async (tx) => tx.agents.setTools((await tx.agents.list()).items[0]?.id ?? '', [newId()]),
    duplicate: (tx) => tx.agents.duplicate(newId(), { username: 'copy' }),
    'schedules.update': (tx) => tx.schedules.update(newId(), { name: 'nightly' }),
    'schedules.fire': (tx) => tx.schedules.fire(newId()),
  }
  test.each(Object.entries(severalSteps))('is kept when that is a method of several steps: %s', async (_, method) => {
    const org = await newOrg()
    await newAgent(org, 'ada')
    const outcomes = await org.transaction((tx) => Promise.allSettled([method(tx), newAgent(tx, 'bob')]))
    expect(states(outcomes)).toEqual(['rejected', 'fulfilled'])
    expect(await usernames(org)).toEqual(['ada', 'bob'])
  })
})

describe('side by side in a transaction', () => {
  test('nested transactions run one after the other, in the order of their calls', async () => {
    const org = await newOrg()
    const steps: string[] = []
    await org.transaction((tx) =>
      Promise.all(
        ['ada', 'bob', 'eve'].map((username) =>
          tx.transaction(async (nested) => {
            steps.push(`${username} begins`)
            await newAgent(nested, username)
            await turn()
            steps.push(`${username} ends`)
          }),
        ),
      ),
    )
    expect(steps).toEqual(['ada begins', 'ada ends', 'bob begins', 'bob ends', 'eve begins', 'eve ends'])
    expect(await usernames(org)).toEqual(['ada', 'bob', 'eve'])
  })

  test('methods of several steps run one after the other', async () => {
    const org = await newOrg()
    const [ada, bob] = [await newAgent(org, 'ada'), await newAgent(org, 'bob')]
    await org.transaction((tx) =>
      Promise.all([
        tx.agents.setTools(ada.id, []),
        tx.agents.duplicate(bob.id, { username: 'copy' }),
        tx.agents.setTools(bob.id, []),
        tx.agents.duplicate(ada.id, { username: 'other' }),
      ]),
    )
    expect(await usernames(org)).toEqual(['ada', 'bob', 'copy', 'other'])
  })

  test('branches of several calls each take turns', async () => {
    const org = await newOrg()
    await org.transaction((tx) =>
      Promise.all(
        ['ada', 'bob', 'eve'].map(async (username) => {
          const agent = await newAgent(tx, username)
          await tx.transaction((nested) => nested.agents.activate(agent.id))
          await tx.agents.duplicate(agent.id, { username: `${username}-copy` })
          await tx.agents.update(agent.id, { name: 'after' })
        }),
      ),
    )
    expect(await usernames(org)).toEqual(['ada', 'ada-copy', 'bob', 'bob-copy', 'eve', 'eve-copy'])
    expect(await org.agents.count({ status: 'active', name: 'after' })).toBe(3)
  })

  test('the failure of one does not affect the others', async () => {
    const org = await newOrg()
    await newAgent(org, 'taken')
    const outcomes = await org.transaction((tx) =>
      Promise.allSettled([
        tx.transaction((nested) => newAgent(nested, 'ada')),
        tx.transaction((nested) => newAgent(nested, 'taken')),
        newAgent(tx, 'bob'),
        tx.transaction((nested) => newAgent(nested, 'eve')),
      ]),
    )
    expect(states(outcomes)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect(await usernames(org)).toEqual(['ada', 'bob', 'eve', 'taken'])
  })

  test('a call is sent in its place: it sees what stands before it, and not what stands behind it', async () => {
    const org = await newOrg()
    const [before, , between, , after] = await org.transaction((tx) =>
      Promise.all([
        tx.agents.count(),
        tx.transaction((nested) => newAgent(nested, 'ada')),
        tx.agents.count(),
        newAgent(tx, 'bob'),
        tx.agents.count(),
      ]),
    )
    expect([before, between, after]).toEqual([0, 1, 2])
  })
})

describe('the outer handle', () => {
  const closed = new ScopeClosedError(
    'nothing was sent: a nested transaction is running. Inside its function use the handle that the function received; elsewhere await the nested transaction first',
  )

  test('is closed while the function of a nested transaction runs', async () => {
    const org = await newOrg()
    const { id } = await newAgent(org, 'ada')
    await org.transaction(async (tx) => {
      await tx.transaction(async (nested) => {
        const refused = [
          () => newAgent(tx, 'bob'),
          () => tx.transaction((again) => newAgent(again, 'bob')),
          () => tx.agents.setTools(id, []),
          () => tx.batch((all) => [all.agents.count()]),
          () => tx.db.select().from(agents),
          () => tx.tasks.claim({ owner: 'w' }),
          () => tx.agents.stream().next(),
        ]
        for (const call of refused) await expect(call()).rejects.toThrow(closed)
        await newAgent(nested, 'eve')
      })
      await newAgent(tx, 'zoe')
    })
    expect(await usernames(org)).toEqual(['ada', 'eve', 'zoe'])
  })

  test('is closed for the same reason two levels further down', async () => {
    const org = await newOrg()
    await org.transaction((tx) =>
      tx.transaction((nested) =>
        nested.transaction(async (inner) => {
          await expect(newAgent(tx, 'bob')).rejects.toThrow(closed)
          await expect(newAgent(nested, 'bob')).rejects.toThrow(closed)
          await newAgent(inner, 'ada')
        }),
      ),
    )
    expect(await usernames(org)).toEqual(['ada'])
  })

  describe('when a nested function awaits a call that waits for it', () => {
    beforeEach(() => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    })
    afterEach(() => {
      vi.useRealTimers()
    })

    const stuck = new ScopeClosedError(
      'nothing was sent: the call waited behind a nested transaction that sent nothing for 5 s, perhaps because its function awaits this call; inside it use the handle that it received',
    )

    test.each<[string, (tx: Org) => Promise<unknown>]>([
      ['a call', (tx) => newAgent(tx, 'bob')],
      ['another nested transaction', (tx) => tx.transaction((nested) => newAgent(nested, 'bob'))],
      ['a method of several steps', (tx) => tx.agents.duplicate(newId(), { username: 'bob' })],
    ])('the call is refused after a while, and nothing hangs: %s', async (_, make) => {
      const org = await newOrg()
      await org.transaction(async (tx) => {
        let begin = (): void => undefined
        const begun = new Promise<void>((resolve) => (begin = resolve))
        const nested = tx.transaction(async (inner) => {
          await newAgent(inner, 'ada')
          begin()
          await expect(beside).rejects.toThrow(stuck)
        })
        const beside = make(tx)
        await begun
        await turn()
        vi.advanceTimersByTime(10_000)
        await nested
      })
      expect(await usernames(org)).toEqual(['ada'])
      expect(vi.getTimerCount()).toBe(0)
    })

    test('a nested transaction that is busy is not taken for one that hangs', async () => {
      const org = await newOrg()
      await org.transaction(async (tx) => {
        const nested = tx.transaction(async (inner) => {
          for (const username of ['ada', 'bob', 'eve']) {
            await newAgent(inner, username)
            vi.advanceTimersByTime(5_000)
          }
        })
        await Promise.all([nested, newAgent(tx, 'zoe')])
      })
      expect(await usernames(org)).toEqual(['ada', 'bob', 'eve', 'zoe'])
    })
  })
})

describe('a call that nobody awaits and that fails', () => {
  const unhandled: unknown[] = []
  const listen = (reason: unknown) => unhandled.push(reason)
  // The test runner's own listeners would take what is caught here for a failure of the run.
  let others: NodeJS.UnhandledRejectionListener[] = []
  beforeEach(() => {
    unhandled.length = 0
    others = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', listen)
  })
  afterEach(() => {
    process.removeAllListeners('unhandledRejection')
    for (const other of others) process.on('unhandledRejection', other)
  })

  const id = newId()
  /** Each is refused as its input is read, by what the database has, or by the database. */
  const failing: Record<string, (tx: Org) => Promise<unknown>> = {
    'a create of bad input': (tx) => tx.agents.create({ name: '', username: 'x' }),
    'a create whose name is taken': (tx) => newAgent(tx, 'ada'),
    'an update of what is not there': (tx) => tx.agents.update(id, { name: 'x' }),
    'a claim': (tx) => tx.tasks.claim({ owner: '' }),
    'projects.create': (tx) => tx.projects.create({ name: '', slug: 'x' }),
    tools: (tx) => tx.agents.tools('x'),
    setTools: (tx) => tx.agents.setTools(id, []),
    'schedules.enable': (tx) => tx.schedules.enable(id),
    'the first of a stream': (tx) => tx.agents.stream({ limit: 0 }).next(),
    'a builder': (tx) => tx.db.insert(agents).values({ name: 'x', username: 'ada', orgId: id, id }).execute(),
    'a prepared builder': (tx) => tx.db.select().from(agents).where(eq(agents.id, 'x')).prepare('x').execute(),
    'a statement': (tx) => tx.db.execute('select 1/0').execute(),
    'a query of relations': (tx) => tx.db.query.agents.findMany({ where: eq(agents.id, 'x') }).execute(),
    'an async method of a host’s repository, which tracks it': (tx) => tx.repository(Renamed).shorten(id),
    'a batch': (tx) => tx.batch((all) => [all.agents.get(id)]),
    'a batch of bad input': (tx) => tx.batch((all) => [all.agents.get('x')]),
    'a batch of nothing known': (tx) => tx.batch(() => [1]),
    'a nested transaction': (tx) => tx.transaction(() => Promise.reject(failure)),
    'a nested transaction with options': (tx) => tx.transaction(() => Promise.resolve(), { retries: 1 }),
    'a nested transaction of no function': (tx) => tx.transaction(1 as never),
    'a nested transaction that forgets one itself': (tx) =>
      tx.transaction((nested) => {
        void nested.agents.get('x')
        return Promise.resolve()
      }),
  }

  test.each(Object.entries(failing))('is reported when the transaction ends: %s', async (_, call) => {
    const org = await newOrg()
    await newAgent(org, 'ada')
    const attempt = org.transaction(async (tx) => {
      await newAgent(tx, 'bob')
      void call(tx)
      await tx.agents.count().catch(() => undefined)
      await turn()
      await turn()
    })
    await expect(attempt).rejects.toThrow(TenantryError)
    await expect(attempt).rejects.toMatchObject({ message: expect.stringContaining('nothing was written') as string })
    await turn()
    expect(unhandled).toEqual([])
    expect(await usernames(org)).toEqual(['ada'])
  })

  test.each(Object.entries(failing))('is reported when nothing comes after it: %s', async (_, call) => {
    const org = await newOrg()
    await newAgent(org, 'ada')
    const attempt = org.transaction((tx) => {
      void call(tx)
      return Promise.resolve()
    })
    await expect(attempt).rejects.toThrow(TenantryError)
    await turn()
    expect(unhandled).toEqual([])
  })

  test('is named', async () => {
    const org = await newOrg()
    const attempt = org.transaction(async (tx) => {
      void tx.agents.update(id, { name: 'x' })
      await tx.agents.count()
    })
    await expect(attempt).rejects.toThrow(
      new TransactionAbortedError(
        'nothing was written: a call that was not awaited failed (agents: not found); await each',
      ),
    )
  })

  test('is not reported when somebody has looked at it', async () => {
    const org = await newOrg()
    await org.transaction(async (tx) => {
      const late = tx.agents.update(id, { name: 'x' })
      const nested = tx.transaction(() => Promise.reject(failure))
      await tx.agents.count()
      await expect(late).rejects.toThrow(NotFoundError)
      await expect(nested).rejects.toBe(failure)
      await newAgent(tx, 'bob')
    })
    expect(await usernames(org)).toEqual(['bob'])
  })

  test('fails with the error of the function when that has one of its own', async () => {
    const org = await newOrg()
    const attempt = org.transaction(async (tx) => {
      void tx.agents.update(id, { name: 'x' })
      await newAgent(tx, 'ada')
      await newAgent(tx, 'ada')
    })
    await expect(attempt).rejects.toThrow(ConflictError)
    expect(unhandled).toEqual([])
  })
})
