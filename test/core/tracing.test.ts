import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, tracingChannel, unsubscribe as unsubscribeFrom } from 'node:diagnostics_channel'
import { afterEach, describe, expect, test } from 'vitest'
import { ConflictError, TransactionAbortedError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { ConnectionEvent, QueryEvent } from '../../src/core/tracing.js'
import { type Engine, engines, useEngines } from '../support/engines.js'

const { open } = useEngines()
const unsubscribe: (() => unknown)[] = []

afterEach(() => {
  for (const end of unsubscribe.splice(0)) end()
})

/** Everything that the channel publishes from now on until the test ends, as `start`, `end` and so on. */
function subscribed<Event extends object>(name: string): (readonly [string, Event])[] {
  const channel = tracingChannel<unknown, Event>(name)
  const published: (readonly [string, Event])[] = []
  const on = (what: string) => (event: Event) => {
    published.push([what, event])
  }
  const subscribers = {
    start: on('start'),
    end: on('end'),
    asyncStart: on('asyncStart'),
    asyncEnd: on('asyncEnd'),
    error: on('error'),
  }
  channel.subscribe(subscribers)
  unsubscribe.push(() => {
    channel.unsubscribe(subscribers)
  })
  return published
}

/** A tenancy whose `onQuery` has only seen what was done with `org`. */
async function watched(engine: Engine) {
  const events: QueryEvent[] = []
  const opened = await open(engine, { onQuery: (event) => events.push(event) })
  return { events, org: await opened.newOrg() }
}

describe.each(engines)('over the %s', (engine) => {
  test('onQuery is told of each call: the statements, the organization, the duration and the row counts', async () => {
    const { events, org } = await watched(engine)
    const ada = await org.agents.create({ name: 'Ada', username: 'ada' })
    await org.agents.list({ limit: 7 })
    await org.agents.find(newId())
    await org.batch((all) => [all.agents.find(ada.id), all.agents.count()])
    await org.db.execute('select 1 union all select 2')
    const told = { kind: 'call', binding: 'org', orgId: org.id, transaction: undefined, error: undefined }
    expect(events).toMatchObject([
      {
        ...told,
        rowCounts: [1],
        statements: [{ text: expect.stringMatching(/insert into "platform"."agents"/) as unknown }],
      },
      { ...told, rowCounts: [1] },
      { ...told, rowCounts: [0] },
      { ...told, rowCounts: [1, 1], statements: [{}, {}] },
      { ...told, rowCounts: [2], statements: [{ text: 'select 1 union all select 2' }] },
    ])
    for (const { duration, statements } of events) {
      expect(duration).toBeGreaterThan(0)
      for (const { name } of statements) expect(name).toMatch(/^tenantry_/)
    }
  })

  test('a transaction is told when it has ended, with its number on its calls', async () => {
    const { events, org } = await watched(engine)
    await org.transaction(async (tx) => {
      await tx.agents.count()
      await tx.transaction((nested) => nested.agents.count())
    })
    expect(events.map(({ kind, committed }) => [kind, committed])).toEqual([
      ['call', undefined],
      ['call', undefined],
      ['transaction', true],
    ])
    const [{ transaction } = { transaction: undefined }] = events
    expect(transaction).toEqual(expect.any(Number))
    for (const event of events) expect(event).toMatchObject({ transaction, binding: 'org', orgId: org.id })
    await expect(org.transaction(() => Promise.reject(new Error('changed my mind')))).rejects.toThrow('changed my mind')
    expect(events.at(-1)).toMatchObject({ kind: 'transaction', committed: false, error: undefined })
    expect(events.at(-1)?.transaction).not.toBe(transaction)
  })

  test('a failure is reported once, with its error', async () => {
    const { events, org } = await watched(engine)
    await org.agents.create({ name: 'Ada', username: 'ada' })
    const failed: unknown = await org.agents.create({ name: 'Eve', username: 'ada' }).catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(ConflictError)
    expect(events.slice(1)).toEqual([expect.objectContaining({ kind: 'call', error: failed, rowCounts: [] })])
    const swallowed = org.transaction((tx) => tx.agents.create({ name: 'Eve', username: 'ada' }).catch(() => undefined))
    await expect(swallowed).rejects.toThrow(TransactionAbortedError)
    expect(events.slice(2)).toMatchObject([
      { kind: 'call', error: { code: 'conflict' } },
      { kind: 'transaction', committed: false },
    ])
  })

  test('the channels publish the same events, and neither parameters nor rows', async () => {
    const calls = subscribed<QueryEvent>('tenantry:call')
    const transactions = subscribed<QueryEvent>('tenantry:transaction')
    const opened = await open(engine)
    const org = await opened.newOrg()
    calls.splice(0)
    const secret = `marker-${newId()}`
    const ada = await org.agents.create({ name: secret, username: 'ada', settings: { secret } })
    expect((await org.agents.get(ada.id)).name).toBe(secret)
    await org.transaction((tx) => tx.agents.update(ada.id, { instructions: secret }))
    expect(calls.map(([what]) => what)).toEqual(Array(3).fill(['start', 'end', 'asyncStart', 'asyncEnd']).flat())
    expect(transactions.map(([what]) => what)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
    expect(transactions[0]?.[1]).toMatchObject({ kind: 'transaction', committed: true })
    expect(JSON.stringify([calls, transactions])).not.toContain(secret)
    expect(JSON.stringify([calls, transactions])).not.toContain(ada.id)
    await expect(org.agents.create({ name: secret, username: 'ada' })).rejects.toThrow(ConflictError)
    expect(calls.slice(-4).map(([what]) => what)).toEqual(['end', 'error', 'asyncStart', 'asyncEnd'])
    expect(calls.at(-1)?.[1].error).toBeInstanceOf(ConflictError)
  })

  test('a store that a subscriber binds is there for what comes of the call', async () => {
    const spans = new AsyncLocalStorage<string>()
    const channel = tracingChannel<string, QueryEvent>('tenantry:call')
    const seen: unknown[] = []
    channel.start.bindStore(spans, (event) => `span of ${event.kind}`)
    unsubscribe.push(() => channel.start.unbindStore(spans))
    const end = () => seen.push(spans.getStore())
    subscribe('tracing:tenantry:call:end', end)
    unsubscribe.push(() => unsubscribeFrom('tracing:tenantry:call:end', end))
    const opened = await open(engine)
    const org = await opened.newOrg()
    await org.agents.count()
    expect(seen.at(-1)).toBe('span of call')
    expect(spans.getStore()).toBeUndefined()
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('the host’s own')
      },
    ],
    ['rejects', () => Promise.reject(new Error('the host’s own'))],
    [
      'throws no error',
      () => {
        throw {
          toString: () => {
            throw new Error('hostile')
          },
        } as unknown as Error
      },
    ],
  ])('an onQuery that %s breaks no call, and is warned of once', async (_, onQuery) => {
    const warnings: Error[] = []
    const listen = (warning: Error) => {
      if (warning.name === 'TenantryWarning') warnings.push(warning)
    }
    process.on('warning', listen)
    unsubscribe.push(() => process.off('warning', listen))
    const opened = await open(engine, { onQuery })
    const org = await opened.newOrg()
    await expect(org.agents.count()).resolves.toBe(0)
    await org.transaction((tx) => tx.agents.count())
    // A warning is emitted in the next tick.
    await new Promise((resolve) => setImmediate(resolve))
    await expect(org.agents.count()).resolves.toBe(0)
    expect(warnings).toMatchObject([{ message: expect.stringContaining('onQuery') as unknown }])
  })
})

test('onQuery belongs to its tenancy alone', async () => {
  const [first, second] = [await watched('server'), await watched('server')]
  await first.org.agents.count()
  expect(first.events).toHaveLength(1)
  expect(second.events).toHaveLength(0)
})

test('a listener that changes an event does not affect later calls', async () => {
  const opened = await open('server', {
    onQuery: ({ statements }) => {
      for (const statement of statements) Object.assign(statement, { text: 'select nothing', name: 'x' })
    },
  })
  const org = await opened.newOrg()
  await org.agents.count()
  await expect(org.agents.count()).resolves.toBe(0)
})

test('connections that are taken and made are published with host and port, and never with the connection', async () => {
  const acquired = subscribed<ConnectionEvent>('tenantry:acquire')
  const connected = subscribed<ConnectionEvent>('tenantry:connect')
  const opened = await open('server')
  const org = await opened.newOrg()
  await Promise.all([org.agents.count(), org.agents.count()])
  await org.agents.count()
  const address = { host: expect.any(String) as unknown, port: expect.any(Number) as unknown }
  const ended = (events: typeof acquired) => events.filter(([what]) => what === 'asyncEnd').map(([, event]) => event)
  expect(ended(acquired)).toHaveLength(4)
  expect(ended(connected)).toHaveLength(2)
  for (const event of [...ended(acquired), ...ended(connected)]) {
    expect(event).toMatchObject({ ...address, error: undefined })
    expect(event.duration).toBeGreaterThan(0)
    expect(Object.keys(event).sort()).toEqual(['duration', 'error', 'host', 'kind', 'port', 'result'])
    expect(event).toHaveProperty('result', undefined)
  }
})
