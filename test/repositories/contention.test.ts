import { getEventListeners } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { CommitUnknownError, ConflictError, RetryableError, TimeoutError } from '../../src/core/errors.js'
import { pauseLength } from '../../src/core/scopes/retry-pause.js'
import type { Org } from '../../src/org.js'
import type { Agent } from '../../src/schema/agents.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { contend, race } from '../support/contenders.js'
import { startProxy } from '../support/proxy.js'

const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
const database = useDatabase()
let tenancy: Tenancy

beforeAll(async () => {
  const { admin, adminUrl } = database
  // Before the connections are made, which look for a deadlock after a second otherwise.
  await admin.query(`alter database ${new URL(adminUrl).pathname.slice(1)} set deadlock_timeout = '20ms'`)
  tenancy = await openTenancy({ url: database.appUrl, pool: { max: 8 }, keys })
})
afterAll(() => tenancy.close())

const newOrg = async (): Promise<Org> => tenancy.forOrg(await createOrganization(database.admin))

async function twoAgents(org: Org): Promise<[Agent, Agent]> {
  return [
    await org.agents.create({ name: 'Ada', username: 'ada' }),
    await org.agents.create({ name: 'Bob', username: 'bob' }),
  ]
}

/** Opens for all who wait at it when as many have come as are expected. Whoever comes later passes. */
function gate(expected: number): () => Promise<void> {
  let come = 0
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return () => {
    if (++come === expected) open()
    return opened
  }
}

describe('two transactions that wait for each other', () => {
  /** Each changes one agent, waits until the other one has too, and goes for the other's. */
  async function cross(org: Org, retries?: number) {
    const [ada, bob] = await twoAgents(org)
    const both = gate(2)
    let attempts = 0
    const change = (first: string, second: string, name: string) =>
      org.transaction(
        async (tx) => {
          attempts++
          await tx.agents.update(first, { name })
          await both()
          await tx.agents.update(second, { name })
        },
        retries === undefined ? {} : { retries },
      )
    const outcomes = await Promise.allSettled([change(ada.id, bob.id, 'one'), change(bob.id, ada.id, 'other')])
    const names = (await org.agents.list({ orderBy: 'username' })).items.map(({ name, revision }) => [name, revision])
    return { outcomes, attempts, names }
  }

  test('end with an error for one of them, and its changes are gone', async () => {
    const { outcomes, attempts, names } = await cross(await newOrg())
    const [refused, ...others] = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
    expect(refused).toBeInstanceOf(RetryableError)
    expect(refused).toMatchObject({ code: 'retryable', reason: 'deadlock' })
    expect([others, attempts]).toEqual([[], 2])
    const winner = outcomes[0].status === 'fulfilled' ? 'one' : 'other'
    expect(names).toEqual([
      [winner, 2],
      [winner, 2],
    ])
  })

  test('both end well when a retry was asked for, each once', async () => {
    const { outcomes, attempts, names } = await cross(await newOrg(), 1)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
    expect(attempts).toBe(3)
    expect(names).toEqual([
      [expect.any(String), 3],
      [expect.any(String), 3],
    ])
    expect(names[0]).toEqual(names[1])
  })
})

describe('a transaction whose rows were changed meanwhile', () => {
  /** Reads, lets somebody else change what it has read, and writes. Each attempt meets the next change. */
  async function overtaken(org: Org, times: number, options: { retries?: number }, by = org) {
    const [{ id }] = await twoAgents(org)
    let attempts = 0
    const work = by.transaction(
      async (tx) => {
        const { revision } = await tx.agents.get(id)
        if (attempts++ < times) await org.agents.update(id, { name: 'theirs' })
        return tx.agents.update(id, { name: `after ${revision}` })
      },
      { isolation: 'repeatable read', ...options },
    )
    const outcome = await work.catch((error: unknown) => error)
    return { outcome, attempts: () => attempts, agent: await org.agents.get(id) }
  }

  test.each([{}, { retries: 0 }])('is told so, and not repeated: %j', async (options) => {
    const { outcome, attempts, agent } = await overtaken(await newOrg(), 1, options)
    expect(outcome).toBeInstanceOf(RetryableError)
    expect(outcome).toMatchObject({ reason: 'serialization' })
    expect([attempts(), agent.name]).toEqual([1, 'theirs'])
  })

  test('is repeated as often as was asked for, with what is there by then', async () => {
    const { outcome, attempts, agent } = await overtaken(await newOrg(), 3, { retries: 3 })
    expect(outcome).toEqual(agent)
    expect([attempts(), agent.name, agent.revision]).toEqual([4, 'after 4', 5])
  })

  describe('waits before it is repeated', () => {
    afterEach(() => {
      vi.restoreAllMocks()
    })

    test('a random time, up to twice as long each time, a second at most', async () => {
      const random = vi.spyOn(Math, 'random').mockReturnValue(0.5)
      const timers = vi.spyOn(globalThis, 'setTimeout')
      const { outcome, agent } = await overtaken(await newOrg(), 3, { retries: 3 })
      expect(outcome).toEqual(agent)
      const pauses = timers.mock.calls.map(([, time]) => time)
      expect(pauses.filter((time) => [10, 20, 40].includes(time ?? 0))).toEqual([10, 20, 40])

      random.mockReturnValue(1)
      expect([1, 2, 3, 6, 7, 1000].map(pauseLength)).toEqual([20, 40, 80, 640, 1000, 1000])
      random.mockReturnValue(0)
      expect([1, 1000].map(pauseLength)).toEqual([0, 0])
    })

    test('no longer than its signal lets it', async () => {
      const controller = new AbortController()
      const org = await newOrg()
      // Long enough that the test would not end, and aborted as soon as it has begun.
      vi.spyOn(Math, 'random').mockImplementation(() => {
        setImmediate(() => {
          controller.abort()
        })
        return 1e6
      })
      const aborted = tenancy.forOrg(org.id, { signal: controller.signal })
      const { outcome, attempts, agent } = await overtaken(org, 9, { retries: 9 }, aborted)
      expect(outcome).toBeInstanceOf(TimeoutError)
      expect([attempts(), agent.name]).toEqual([1, 'theirs'])
      expect(getEventListeners(controller.signal, 'abort')).toEqual([])
    })
  })

  test('is repeated no more often than that', async () => {
    const { outcome, attempts, agent } = await overtaken(await newOrg(), 9, { retries: 3 })
    expect(outcome).toBeInstanceOf(RetryableError)
    expect([attempts(), agent.name]).toEqual([4, 'theirs'])
  })
})

race('of twenty that read and write at once none is lost, when each may try again', async () => {
  const org = await newOrg()
  const [{ id }] = await twoAgents(org)
  const { won, lost } = await contend(() =>
    org.transaction(
      async (tx) => {
        const { settings } = await tx.agents.get(id)
        return tx.agents.update(id, { settings: { count: ((settings.count as number | undefined) ?? 0) + 1 } })
      },
      { isolation: 'repeatable read', retries: 1_000 },
    ),
  )
  expect([won.length, lost]).toEqual([20, []])
  expect((await org.agents.get(id)).settings).toEqual({ count: 20 })
})

test('a failure that another attempt would repeat is not retried', async () => {
  const org = await newOrg()
  let attempts = 0
  const failing = (work: (tx: Org) => Promise<unknown>) =>
    org.transaction(
      async (tx) => {
        attempts++
        await work(tx)
      },
      { retries: 5 },
    )
  await twoAgents(org)
  await expect(failing((tx) => tx.agents.create({ name: 'Ada', username: 'ada' }))).rejects.toThrow(ConflictError)
  await expect(failing(() => Promise.reject(new Error('mine')))).rejects.toThrow('mine')
  expect(attempts).toBe(2)
})

test('a transaction with an unknown outcome is not retried', async () => {
  const proxy = await startProxy(database.appUrl)
  const through = await openTenancy({ url: proxy.url, pool: { max: 1 }, keys })
  const org = through.forOrg(await createOrganization(database.admin))
  let attempts = 0
  const work = org.transaction(
    async (tx) => {
      attempts++
      await tx.tasks.enqueue({ kind: 'once' })
      proxy.filter = (bytes, direction) => {
        if (direction === 'to server') return bytes
        proxy.reset()
        return undefined
      }
    },
    { retries: 5 },
  )
  await expect(work).rejects.toThrow(CommitUnknownError)
  proxy.filter = (bytes) => bytes
  expect([attempts, await org.tasks.count()]).toEqual([1, 1])
  await through.close()
  await proxy.close()
})
