import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import {
  ConflictError,
  InvalidInputError,
  NotFoundError,
  ScopeClosedError,
  TransactionAbortedError,
  UnsafeStatementError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import { openWithout } from '../../src/testing/walls.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()
const { newOrg, database } = bench

const newAgent = (org: Org, username: string) => org.agents.create({ name: username, username })
const usernames = async (org: Org) =>
  (await org.agents.list({ orderBy: 'username' })).items.map(({ username }) => username)

describe('a transaction', () => {
  test('takes effect as a whole', async () => {
    const org = await newOrg()
    const made = await org.transaction(async (inner) => {
      const project = await inner.projects.create({ name: 'Shop', slug: 'shop' })
      const agent = await inner.agents.create({ name: 'Ada', username: 'ada', projectId: project.id })
      expect(await org.agents.find(agent.id)).toBeUndefined()
      expect(await inner.agents.find(agent.id)).toEqual(agent)
      return agent
    })
    expect(await org.agents.get(made.id)).toEqual(made)
  })

  test('that throws leaves nothing behind, and gives the error', async () => {
    const org = await newOrg()
    const failure = new Error('no')
    const attempt = org.transaction(async (inner) => {
      await newAgent(inner, 'ada')
      await inner.workflows.create({ name: 'x', slug: 'x' })
      throw failure
    })
    await expect(attempt).rejects.toBe(failure)
    expect(await usernames(org)).toEqual([])
    expect(await org.workflows.count()).toBe(0)
  })

  test('in which an error was swallowed is not committed', async () => {
    const org = await newOrg()
    const attempt = org.transaction(async (inner) => {
      await newAgent(inner, 'ada')
      await newAgent(inner, 'ada').catch(() => undefined)
    })
    await expect(attempt).rejects.toThrow(TransactionAbortedError)
    expect(await usernames(org)).toEqual([])
  })

  test('sends nothing more after an error', async () => {
    const { tenancy, count } = await openWithout(database)
    const attempt = tenancy.forOrg((await newOrg()).id).transaction(async (inner) => {
      await newAgent(inner, 'ada')
      await newAgent(inner, 'ada').catch(() => undefined)
      const before = count()
      await expect(inner.agents.count()).rejects.toThrow(TransactionAbortedError)
      expect(count()).toBe(before)
    })
    await expect(attempt).rejects.toThrow(TransactionAbortedError)
    await tenancy.close()
  })

  test('goes on after an input that was refused, for nothing was sent', async () => {
    const org = await newOrg()
    await org.transaction(async (inner) => {
      await newAgent(inner, 'ada')
      await expect(inner.agents.get('x')).rejects.toThrow(InvalidInputError)
      await expect(inner.agents.get(newId())).rejects.toThrow(NotFoundError)
      await expect(inner.db.execute(sql`select ${Symbol('x') as never}`)).rejects.toThrow(InvalidInputError)
      await expect(inner.db.execute(sql`listen x`)).rejects.toThrow(UnsafeStatementError)
      await newAgent(inner, 'bea')
    })
    expect(await usernames(org)).toEqual(['ada', 'bea'])
  })

  test('does not end well while a call is on its way', async () => {
    const org = await newOrg()
    let forgotten: Promise<unknown> | undefined
    const attempt = org.transaction(async (inner) => {
      await newAgent(inner, 'ada')
      forgotten = newAgent(inner, 'bob')
    })
    await expect(attempt).rejects.toThrow(
      new ScopeClosedError('nothing was written: the transaction ended before 1 of its calls; await each'),
    )
    await Promise.allSettled([forgotten])
    expect(await usernames(org)).toEqual([])
  })

  test('does not end well while another one inside of it does not', async () => {
    const org = await newOrg()
    let forgotten: Promise<unknown> | undefined
    const attempt = org.transaction(async (inner) => {
      await newAgent(inner, 'ada')
      forgotten = inner.transaction(async (nested) => {
        await newAgent(nested, 'bob')
        await newAgent(nested, 'eve')
      })
    })
    await expect(attempt).rejects.toThrow(ScopeClosedError)
    await Promise.allSettled([forgotten])
    expect(await usernames(org)).toEqual([])
  })

  test('that is forgotten while one inside of it runs leaves its handle dead', async () => {
    const org = await newOrg()
    let leaked: Org | undefined
    let finish = (): void => undefined
    const attempt = org.transaction(async (inner) => {
      leaked = inner
      await newAgent(inner, 'ada')
      const nested = inner.transaction(async (nested) => {
        await newAgent(nested, 'bob')
        await new Promise<void>((resolve) => (finish = resolve))
      })
      nested.catch(() => undefined)
      await new Promise(setImmediate)
    })
    await expect(attempt).rejects.toThrow(ScopeClosedError)
    finish()
    await new Promise(setImmediate)
    await expect(leaked?.agents.count()).rejects.toThrow(ScopeClosedError)
    expect(await usernames(org)).toEqual([])
  })

  test('is over when its function is: nothing is sent with its handle any more', async () => {
    const org = await newOrg()
    let leaked = org
    await org.transaction(async (inner) => {
      leaked = inner
      await newAgent(inner, 'ada')
    })
    const { agents, db } = leaked
    for (const call of [
      () => leaked.agents.count(),
      () => agents.create({ name: 'x', username: 'x' }),
      () => leaked.agents.purge(newId()),
      () => leaked.projects.create({ name: 'x', slug: 'x' }),
      () => leaked.transaction((inner) => inner.agents.count()),
      () => leaked.batch((inner) => [inner.agents.count()]),
      () => leaked.db.execute('select 1'),
      () => db.execute('select 1'),
      () => leaked.schedules.fire(newId()),
      () => leaked.agents.stream().next(),
    ]) {
      await expect(call()).rejects.toThrow(ScopeClosedError)
    }
    expect(await usernames(org)).toEqual(['ada'])
  })

  test('of a failed transaction is closed as well', async () => {
    const org = await newOrg()
    let leaked = org
    const attempt = org.transaction((inner) => {
      leaked = inner
      return newAgent(inner, '')
    })
    await expect(attempt).rejects.toThrow(InvalidInputError)
    await expect(leaked.agents.count()).rejects.toThrow(ScopeClosedError)
  })

  test('is none of another organization’s', async () => {
    const [org, other] = [await newOrg(), await newOrg()]
    const theirs = await newAgent(other, 'eve')
    await org.transaction(async (inner) => {
      expect(await inner.agents.find(theirs.id)).toBeUndefined()
      await newAgent(inner, 'ada')
      await expect(other.agents.count()).resolves.toBe(1)
    })
    expect(await usernames(other)).toEqual(['eve'])
  })

  const noIsolation = 'must be one of read committed, repeatable read, serializable'
  test.each<[unknown, string, string]>([
    [null, 'options', 'must be an object'],
    [{ isolation: 'serializable; commit' }, 'isolation', noIsolation],
    [{ isolation: 1 }, 'isolation', noIsolation],
    [{ retries: NaN }, 'retries', 'must be an integer, 0 or more'],
    [{ retries: -1 }, 'retries', 'must be an integer, 0 or more'],
    [{ retries: '3' }, 'retries', 'must be an integer, 0 or more'],
    [{ timeout: 1 }, 'timeout', 'is not an option; the options are isolation, retries'],
    [{ ['x'.repeat(100)]: 1 }, 'x'.repeat(60), 'is not an option; the options are isolation, retries'],
  ])('with the options %j is refused', async (options, field, reason) => {
    const org = await newOrg()
    const attempt = org.transaction(() => Promise.resolve(), options as never)
    await expect(attempt).rejects.toThrow(new InvalidInputError(field, reason))
  })

  test.each(['read committed', 'repeatable read', 'serializable'] as const)(
    'is isolated as asked: %s',
    async (isolation) => {
      const org = await newOrg()
      const rows = await org.transaction(
        (inner) => inner.db.execute(`select current_setting('transaction_isolation') as level`),
        { isolation },
      )
      expect(rows).toEqual([{ level: isolation }])
    },
  )
})

describe('a transaction inside of another', () => {
  const outermost = 'can be given to the outermost transaction only'
  test.each<[object, string]>([
    [{ isolation: 'serializable' }, outermost],
    [{ retries: 1 }, outermost],
    [{ retry: 1 }, 'is not an option; the options are isolation, retries'],
  ])('has no options of its own: %o', async (options, reason) => {
    const org = await newOrg()
    await org.transaction(async (inner) => {
      const attempt = inner.transaction((nested) => newAgent(nested, 'ada'), options)
      await expect(attempt).rejects.toMatchObject({
        code: 'invalid_input',
        faults: [{ field: Object.keys(options)[0], reason }],
      })
      await inner.transaction((nested) => newAgent(nested, 'eve'), {})
    })
    expect(await usernames(org)).toEqual(['eve'])
  })

  test('is taken back alone', async () => {
    const org = await newOrg()
    await org.transaction(async (inner) => {
      await newAgent(inner, 'ada')
      const attempt = inner.transaction(async (nested) => {
        await newAgent(nested, 'bob')
        await newAgent(nested, 'ada')
      })
      await expect(attempt).rejects.toThrow(ConflictError)
      await newAgent(inner, 'eve')
    })
    expect(await usernames(org)).toEqual(['ada', 'eve'])
  })

  test('falls with the one around it', async () => {
    const org = await newOrg()
    const attempt = org.transaction(async (inner) => {
      await inner.transaction((nested) => newAgent(nested, 'ada'))
      throw new Error('no')
    })
    await expect(attempt).rejects.toThrow('no')
    expect(await usernames(org)).toEqual([])
  })

  test('in which an error was swallowed is taken back', async () => {
    const org = await newOrg()
    await org.transaction(async (inner) => {
      const attempt = inner.transaction(async (nested) => {
        await newAgent(nested, 'bob')
        await newAgent(nested, 'bob').catch(() => undefined)
      })
      await expect(attempt).rejects.toThrow(TransactionAbortedError)
      await newAgent(inner, 'ada')
    })
    expect(await usernames(org)).toEqual(['ada'])
  })

  test('cannot begin after an error was swallowed, and leaves the handle as it was', async () => {
    const org = await newOrg()
    const attempt = org.transaction(async (inner) => {
      await newAgent(inner, 'ada')
      await newAgent(inner, 'ada').catch(() => undefined)
      await expect(inner.transaction((nested) => newAgent(nested, 'bob'))).rejects.toThrow(TransactionAbortedError)
      await expect(newAgent(inner, 'eve')).rejects.toThrow(TransactionAbortedError)
    })
    await expect(attempt).rejects.toThrow(TransactionAbortedError)
    expect(await usernames(org)).toEqual([])
  })

  test('closes the outer handle while it runs, and its own when it ends', async () => {
    const org = await newOrg()
    await org.transaction(async (inner) => {
      let leaked = inner
      await inner.transaction(async (nested) => {
        leaked = nested
        await expect(inner.agents.count()).rejects.toThrow(/^nothing was sent: a nested transaction is running/)
        await expect(inner.transaction(() => Promise.resolve())).rejects.toThrow(ScopeClosedError)
        await newAgent(nested, 'ada')
      })
      await expect(leaked.agents.count()).rejects.toThrow(ScopeClosedError)
      expect(await inner.agents.count()).toBe(1)
    })
  })

  test('is what a method of several steps is', async () => {
    const org = await newOrg()
    await org.transaction(async (inner) => {
      const ada = await newAgent(inner, 'ada')
      await newAgent(inner, 'bob')
      await expect(inner.agents.duplicate(ada.id, { username: 'bob' })).rejects.toThrow(ConflictError)
      await inner.agents.duplicate(ada.id, { username: 'eve' })
    })
    expect(await usernames(org)).toEqual(['ada', 'bob', 'eve'])
  })
})

test('a purge is one round trip, all or nothing', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  await org.agents.create({ name: 'Ada', username: 'ada', projectId: project.id })
  await org.batch((inner) => [inner.projects.purge(project.id)])
  expect(await org.agents.findByUsername('ada')).toMatchObject({ projectId: null })
  const rows = await database.admin.query('select from platform.projects where org_id = $1', [org.id])
  expect(rows).toEqual([])
})
