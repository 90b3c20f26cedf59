import pg from 'pg'
import { expect, test, vi } from 'vitest'
import {
  CommitUnknownError,
  PoolTimeoutError,
  ScopeClosedError,
  TimeoutError,
  UnavailableError,
  UnsafeRoleError,
} from '../../src/core/errors.js'
import type { NewConnection } from '../../src/database/connection-pool.js'
import { startProxy } from '../support/proxy.js'
import { A, B, backend, call, countItems, failureOf, insertItem, useToySchema, valueOf } from '../support/toy-schema.js'

const { database, open } = useToySchema()

const sleep = call('select pg_sleep(10)')

async function admin<Row>(text: string, params?: unknown[]): Promise<Row[]> {
  return database.admin.query<Row>(text, params)
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition()));
}

const isSleeping = async (pid: unknown): Promise<boolean> =>
  (await admin("select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'", [pid])).length > 0

const isGone = async (pid: unknown): Promise<boolean> =>
  (await admin('select from pg_stat_activity where pid = $1', [pid])).length === 0

const isIdle = async (pid: unknown): Promise<boolean> =>
  (await admin("select from pg_stat_activity where pid = $1 and state = 'idle'", [pid])).length > 0

test('timeouts are the server’s, set as the connection starts', async () => {
  const read = call(`select current_setting('statement_timeout'), current_setting('lock_timeout'),
    current_setting('idle_in_transaction_session_timeout'), current_setting('TimeZone'),
    (select string_agg(distinct source, ',') from pg_catalog.pg_show_all_settings() where name like '%_timeout' and setting <> boot_val)`)
  expect((await open().run(A, [read]))[0]?.rows).toEqual([['30s', '10s', '1min', 'UTC', 'client']])
  const chosen = open({
    pool: { statement_timeout: 1_000, lock_timeout: 2_000, idle_in_transaction_session_timeout: 0 },
  })
  expect((await chosen.run(A, [read]))[0]?.rows).toEqual([['1s', '2s', '0', 'UTC', 'client']])
  const endless = open({ pool: { statement_timeout: 2 ** 31 - 1 } })
  await expect(endless.run(A, [call('select pg_sleep(0.05)')])).resolves.toHaveLength(1)
  const plain = open({ isPooled: true })
  expect((await plain.run(A, [read]))[0]?.rows[0]?.[0]).toBe('0')
  const inUrl = new URL(database.appUrl)
  inUrl.search = 'statement_timeout=3000&pgbouncer=true'
  expect((await open({ pool: { connectionString: inUrl.href } }).run(A, [read]))[0]?.rows[0]?.[1]).toBe('0')
})

test('an exhausted pool is a timeout of its own, and leaks nothing', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  const executor = open({ pool })
  const transaction = await executor.begin(A)
  // Not before: to connect takes longer.
  pool.options.connectionTimeoutMillis = 5
  const rounds = await Promise.allSettled(Array.from({ length: 300 }, () => executor.run(A, [countItems])))
  const reasons = rounds.map((round) => (round.status === 'rejected' ? (round.reason as unknown) : undefined))
  expect(reasons).toEqual(reasons.map(() => expect.any(PoolTimeoutError) as unknown))
  await transaction.commit()
  expect(pool).toMatchObject({ waitingCount: 0, totalCount: 1, idleCount: 1 })
  expect(await valueOf(executor, A, countItems)).toBe(10)
  // Nobody is waited for any more.
  await executor.close({ drain: 300_000 })
  await pool.end()
})

test('a pool of the host’s that would wait for ever is not waited for for ever', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  const client = await pool.connect()
  const executor = open({ pool })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const failure = failureOf(executor.run(A, [countItems]))
  vi.advanceTimersByTime(60_000)
  vi.useRealTimers()
  expect(await failure).toBeInstanceOf(PoolTimeoutError)
  client.release()
  expect(await valueOf(executor, A, countItems)).toBe(10)
  expect(pool).toMatchObject({ totalCount: 1, idleCount: 1, waitingCount: 0 })
  await executor.close()
  await pool.end()
})

test('after thousands of calls, a tenth of which fail, there is nothing more than at the start', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 3 })
  const clients: pg.PoolClient[] = []
  pool.on('connect', (client) => clients.push(client))
  const executor = open({ pool })
  const listeners = () =>
    clients.map((client) => {
      const { connection } = client as unknown as { connection: pg.Connection }
      const count = (emitter: NodeJS.EventEmitter): number =>
        emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0)
      return [
        client.listenerCount('error'),
        count(client),
        count(connection),
        count((connection as { stream: NodeJS.EventEmitter } & pg.Connection).stream),
      ]
    })
  let failures = 0
  const work = async (index: number): Promise<void> => {
    const isFailing = index % 10 === 0
    if (index % 4 > 0) {
      await executor.run(A, [isFailing ? call('select 1 / $1::int', 0) : countItems])
      return
    }
    const transaction = await executor.begin(index % 8 === 0 ? A : B)
    try {
      await transaction.run([countItems])
      if (isFailing) throw new Error('the caller’s own')
      await transaction.commit()
    } finally {
      await transaction.rollback()
    }
  }
  /** Twice as many callers as connections. */
  const load = async (calls: number): Promise<void> => {
    let next = 0
    const caller = async (): Promise<void> => {
      while (next < calls) await work(next++).catch(() => failures++)
    }
    await Promise.all(Array.from({ length: 6 }, caller))
  }
  await load(50)
  const before = listeners()
  await load(1_000)
  expect(failures).toBe(105)
  expect(listeners()).toEqual(before)
  expect(pool).toMatchObject({ totalCount: 3, idleCount: 3, waitingCount: 0 })
  expect(
    await admin("select from pg_stat_activity where datname = current_database() and state like 'idle in%'"),
  ).toEqual([])
  await executor.close()
  await pool.end()
})

test('a connection whose transaction the host left open is not used', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  const executor = open({ pool })
  const client = await pool.connect()
  await client.query('begin')
  client.release()
  await executor.run(A, [insertItem(A, 'acknowledged')])
  expect(await admin("select name from platform.items where name = 'acknowledged'")).toHaveLength(1)
  await executor.close()
  await pool.end()
})

// pg before 8.23 does not have the mode.
test.runIf('pipeline' in new pg.Client())('a pool in pipeline mode is refused', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, pipeline: true })
  await expect(open({ pool }).run(A, [countItems])).rejects.toThrow('pipeline mode')
  await pool.end()
})

test('each physical connection is proved once, before it serves', async () => {
  const proved: unknown[] = []
  const executor = open({
    pool: { max: 2 },
    onConnect: async (connection: NewConnection) => {
      const [row] = await connection.query<{ pid: number }>('select pg_backend_pid() as pid, $1::int as n', [1])
      proved.push(row?.pid, connection.isPooled)
    },
  })
  const pids = new Set<unknown>()
  for (let round = 0; round < 5; round++) {
    const seen = await Promise.all([valueOf(executor, A, backend), valueOf(executor, B, backend)])
    for (const pid of seen) pids.add(pid)
  }
  expect(new Set(proved)).toEqual(new Set([...pids, false]))
  expect(proved).toHaveLength(4)
})

test('a connection that is not proved is ended, with the error of the proof', async () => {
  const fault = new UnsafeRoleError([{ fault: 'superuser', detail: '', mend: 'use another' }])
  const pids: unknown[] = []
  let isSafe = false
  const executor = open({
    onConnect: async (connection) => {
      const [row] = await connection.query<{ pid: number }>('select pg_backend_pid() as pid')
      pids.push(row?.pid)
      if (!isSafe) throw fault
    },
  })
  expect(await failureOf(executor.run(A, [countItems]))).toBe(fault)
  expect(await failureOf(executor.begin(A))).toBe(fault)
  isSafe = true
  expect(await valueOf(executor, A, backend)).toBe(pids[2])
  expect(new Set(pids).size).toBe(3)
  await until(() => isGone(pids[0]))
})

test('a proof that fails in the database is a typed error', async () => {
  const executor = open({
    onConnect: async (connection) => {
      await connection.query('select * from nowhere')
    },
  })
  expect(await failureOf(executor.run(A, [countItems]))).toMatchObject({ code: 'query' })
})

test.each([
  ['postgres://127.0.0.1:1/none', UnavailableError],
  ['postgres://nobody.invalid/none', UnavailableError],
])('nobody at %s is a typed error', async (connectionString, expected) => {
  expect(await failureOf(open({ pool: { connectionString } }).run(A, [countItems]))).toBeInstanceOf(expected)
})

test.each(['none?sslrootcert=/no/where', '%E0%A4%A', 'none?sslmode=verify-ca&uselibpqcompat=true'])(
  'a url that pg cannot read, such as %s, is a typed error, and nobody waits any more',
  async (path) => {
    const executor = open({ pool: { connectionString: `postgres://127.0.0.1:1/${path}` } })
    expect(await failureOf(executor.run(A, [countItems]))).toBeInstanceOf(UnavailableError)
    await executor.close({ drain: 1_000_000 })
  },
)

test('a database or a login that is not there is a typed error, without its name', async () => {
  for (const part of ['pathname', 'username'] as const) {
    const url = new URL(database.appUrl)
    url[part] = 'secret_name'
    const error = await failureOf(open({ pool: { connectionString: url.href } }).run(A, [countItems]))
    expect(error).toBeInstanceOf(UnavailableError)
    expect(error.message).not.toContain('secret_name')
  }
})

test('a pooler that refuses timeouts at the start is named as the reason', async () => {
  const proxy = await startProxy(database.appUrl)
  const message = 'SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: statement_timeout\0\0'
  proxy.filter = (bytes, direction) => {
    if (direction === 'to server') return bytes
    const refused = Buffer.alloc(5 + message.length)
    refused.write('E')
    refused.writeInt32BE(4 + message.length, 1)
    refused.write(message, 5)
    return refused
  }
  const error = await failureOf(open({ pool: { connectionString: proxy.url } }).run(A, [countItems]))
  expect(error).toBeInstanceOf(UnavailableError)
  expect(error.message).toContain('pooler')
  await proxy.close()
})

test('an aborted call sends nothing, or stops waiting, or is stopped on the server', async () => {
  const executor = open()
  await expect(executor.run(A, [insertItem(A, 'aborted')], { signal: AbortSignal.abort() })).rejects.toThrow(
    TimeoutError,
  )
  await expect(executor.begin(A, { signal: AbortSignal.abort() })).rejects.toThrow(TimeoutError)

  const pid = await valueOf(executor, A, backend)
  const holding = await executor.begin(A)
  const waiting = new AbortController()
  const waited = failureOf(executor.run(A, [insertItem(A, 'aborted')], { signal: waiting.signal }))
  waiting.abort()
  expect(await waited).toBeInstanceOf(TimeoutError)
  await holding.commit()

  const running = new AbortController()
  const stopped = failureOf(executor.run(A, [insertItem(A, 'aborted'), sleep], { signal: running.signal }))
  await until(() => isSleeping(pid))
  running.abort()
  expect(await stopped).toMatchObject({ code: 'timeout', message: expect.stringContaining('aborted') as unknown })
  expect(await isIdle(pid)).toBe(true)
  expect(await valueOf(executor, B, backend)).toBe(pid)
  expect(await admin("select from platform.items where name = 'aborted'")).toEqual([])
})

test('an abort in a transaction stops its statement, and every one that follows', async () => {
  const executor = open()
  const controller = new AbortController()
  const transaction = await executor.begin(A, { signal: controller.signal })
  const [first] = await transaction.run([backend, insertItem(A, 'aborted transaction')])
  const stopped = failureOf(transaction.run([sleep]))
  await until(() => isSleeping(first?.rows[0]?.[0]))
  controller.abort()
  expect(await stopped).toBeInstanceOf(TimeoutError)
  await expect(transaction.run([countItems])).rejects.toThrow(TimeoutError)
  await expect(transaction.commit()).rejects.toThrow(TimeoutError)
  expect(await admin("select from platform.items where name = 'aborted transaction'")).toEqual([])
  expect(await valueOf(executor, B, backend)).toBe(first?.rows[0]?.[0])
})

test('an abort that comes too late changes nothing, and never reaches the next caller', async () => {
  const executor = open()
  const short = call('select pg_sleep(0.002)')
  for (let round = 0; round < 60; round++) {
    const controller = new AbortController()
    const aborted = executor.run(A, [short], { signal: controller.signal }).then(
      () => 'done',
      (error: unknown) => error,
    )
    setTimeout(() => {
      controller.abort()
    }, round % 6)
    const next = executor.run(B, [call('select pg_sleep(0.004)')])
    expect(await aborted).toSatisfy((outcome) => outcome === 'done' || outcome instanceof TimeoutError)
    await expect(next).resolves.toHaveLength(1)
  }
})

test('a cancel request that gets lost costs the connection, for it may still arrive', async () => {
  const proxy = await startProxy(database.appUrl)
  const executor = open({ pool: { connectionString: proxy.url, max: 2 } })
  // A CancelRequest begins with its length of 16 and a code.
  proxy.filter = (bytes) => (bytes.length === 16 && bytes.readInt32BE(4) === 80_877_102 ? undefined : bytes)
  const abortLost = async (seconds: number): Promise<[unknown, unknown]> => {
    const controller = new AbortController()
    const nap = call('select pg_backend_pid(), pg_sleep($1)', seconds)
    const outcome = executor.run(A, [nap], { signal: controller.signal }).catch((error: unknown) => error)
    const sleeping = "select pid from pg_stat_activity where wait_event = 'PgSleep' and query = $1"
    let rows: { pid: number }[] = []
    await until(async () => (rows = await admin<{ pid: number }>(sleeping, [nap.statement.text])).length > 0)
    controller.abort()
    return [rows[0]?.pid, await outcome]
  }
  const [firstPid, first] = await abortLost(10)
  expect(first).toBeInstanceOf(TimeoutError)
  await admin('select pg_terminate_backend($1)', [firstPid])
  await until(async () => (await admin('select from pg_stat_activity where pid = $1', [firstPid])).length === 0)
  // Ended by itself, before the request could come.
  const [secondPid, second] = await abortLost(1)
  expect(second).toMatchObject([{ rows: [[secondPid, '']] }])
  expect([firstPid, secondPid]).not.toContain(await valueOf(executor, B, backend))
  await executor.close()
  await proxy.close()
}, 30_000)

test('a connection that ends while nobody uses it is replaced', async () => {
  const executor = open()
  const pid = await valueOf(executor, A, backend)
  await admin('select pg_terminate_backend($1)', [pid])
  const answered = async (): Promise<unknown> => valueOf(executor, A, backend).catch(() => pid)
  await until(async () => (await answered()) !== pid)
})

test('behind a pooler an abort costs the connection, for when the pooler cancels is not known', async () => {
  const executor = open({ isPooled: true })
  const pid = await valueOf(executor, A, backend)
  for (const [calls, expected] of [
    [[sleep], TimeoutError],
    [[insertItem(A, 'aborted in a pool'), sleep], CommitUnknownError],
  ] as const) {
    const controller = new AbortController()
    const aborted = failureOf(executor.run(A, calls, { signal: controller.signal }))
    const asleep = "from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
    await until(async () => (await admin(`select ${asleep}`)).length > 0)
    controller.abort()
    expect(await aborted).toBeInstanceOf(expected)
    await admin(`select pg_terminate_backend(pid) ${asleep}`)
    await until(async () => (await admin(`select ${asleep}`)).length === 0)
  }
  expect(await valueOf(executor, B, backend)).not.toBe(pid)
})

test('a client-side timeout of the host’s ends the connection, so that nobody waits behind it', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1, query_timeout: 200 })
  const executor = open({ pool })
  const pid = await valueOf(executor, A, backend)
  await expect(executor.run(A, [sleep])).rejects.toThrow(UnavailableError)
  expect(await valueOf(executor, B, backend)).not.toBe(pid)
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  for (let round = 0; round < 20; round++) await executor.run(A, [countItems])
  expect(timers()).toBeLessThan(before + 10)
  await executor.close()
  await pool.end()
})

test('two tenancies over one pool of the host’s do not disturb each other', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  const executors = [open({ pool }), open({ pool, isPooled: true }), open({ pool, isPooled: false })]
  for (let round = 0; round < 2; round++) {
    for (const executor of executors) expect(await valueOf(executor, B, countItems)).toBe(10)
  }
  expect(pool.totalCount).toBe(1)
  await Promise.all(executors.map((executor) => executor.close()))
  await pool.end()
})

test('closing lets running work finish, refuses new work, and ends every connection', async () => {
  const executor = open({ pool: { max: 2 } })
  const transaction = await executor.begin(A)
  const [first] = await transaction.run([backend])
  const running = executor.run(A, [call('select pg_sleep(0.1)')])
  const waiting = executor.run(A, [countItems])
  const closed = executor.close()
  await expect(executor.run(A, [countItems])).rejects.toThrow(ScopeClosedError)
  await expect(executor.begin(A)).rejects.toThrow(ScopeClosedError)
  await expect(Promise.all([running, waiting])).resolves.toHaveLength(2)
  await transaction.run([insertItem(A, 'drained')])
  await transaction.commit()
  await closed
  expect(await admin("select from platform.items where name = 'drained'")).toHaveLength(1)
  await until(() => isGone(first?.rows[0]?.[0]))
  await expect(executor.close()).resolves.toBeUndefined()
})

test('work that does not finish in time is rolled back, and does not keep the process', async () => {
  const executor = open({ pool: { max: 2, connectionTimeoutMillis: 20_000 } })
  const transaction = await executor.begin(A)
  await transaction.run([insertItem(A, 'not drained')])
  const pid = await valueOf(executor, A, backend)
  const running = failureOf(executor.run(A, [insertItem(A, 'not drained'), sleep]))
  const waiting = failureOf(executor.run(A, [insertItem(A, 'not drained')]))
  await until(() => isSleeping(pid))
  await executor.close({ drain: 10 })
  expect(await running).toMatchObject({ code: 'commit_unknown' })
  expect(await waiting).toBeInstanceOf(ScopeClosedError)
  await expect(transaction.commit()).rejects.toThrow(UnavailableError)
  await admin('select pg_terminate_backend($1)', [pid])
  await until(() => isGone(pid))
  expect(await admin("select from platform.items where name = 'not drained'")).toEqual([])
})

test('a pool of the host’s stays open', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl })
  const executor = open({ pool })
  await executor.run(A, [countItems])
  await executor.close()
  await expect(pool.query('select 1')).resolves.toMatchObject({ rowCount: 1 })
  expect(pool.listenerCount('error')).toBe(0)
  await pool.end()
})
