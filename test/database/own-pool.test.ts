import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { TLSSocket } from 'node:tls'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { PoolTimeoutError, ScopeClosedError, UnavailableError } from '../../src/core/errors.js'
import type { Executor } from '../../src/core/executor.js'
import type { DriverClient } from '../../src/database/driver.js'
import { StreamTap } from '../../src/database/stream-tap.js'
import { newCertificate } from '../support/certificate.js'
import { A, B, backend, call, countItems, failureOf, useToySchema, valueOf } from '../support/toy-schema.js'

// The options of a pool of pg mean the same to the pool of a tenancy that was opened with a url.

const { database, open } = useToySchema()

const isThere = async (pid: unknown): Promise<boolean> =>
  (await database.admin.query('select from pg_stat_activity where pid = $1', [pid])).length > 0

const untilGone = async (pid: unknown): Promise<void> => {
  while (await isThere(pid));
}

/** Every session of the application's login in this database has ended. */
async function untilNoneIsLeft(): Promise<void> {
  const { username } = new URL(database.appUrl)
  const sessions = 'select from pg_stat_activity where datname = current_database() and usename = $1'
  while ((await database.admin.query(sessions, [username])).length > 0);
}

/** The sessions of two calls at the same time. */
async function twoSessions(executor: Executor): Promise<unknown[]> {
  const first = await executor.begin(A)
  const second = await executor.begin(B)
  const pids = [await first.run([backend]), await second.run([backend])].map(([result]) => result?.rows[0]?.[0])
  await first.commit()
  await second.commit()
  return pids
}

test('the session that was used last is used first', async () => {
  const executor = open({ pool: { max: 3 } })
  const [, second] = await twoSessions(executor)
  for (let round = 0; round < 5; round++) expect(await valueOf(executor, A, backend)).toBe(second)
})

test('there are never more sessions than max, and those who wait are served in their order', async () => {
  const two = open({ pool: { max: 2 } })
  const slow = call('select pg_backend_pid() from pg_sleep($1)', 0.002)
  const pids = await Promise.all(Array.from({ length: 20 }, () => valueOf(two, A, slow)))
  expect(new Set(pids).size).toBe(2)

  const one = open()
  const holding = await one.begin(A)
  const order: number[] = []
  const waiting = Array.from({ length: 10 }, (_, index) => valueOf(one, A, backend).then(() => order.push(index)))
  await holding.commit()
  await Promise.all(waiting)
  expect(order).toEqual([...order.keys()])
})

test('a call that waits for a session that cannot be made is told why, as the first one is', async () => {
  const executor = open({ pool: { connectionString: 'postgres://127.0.0.1:1/none' } })
  const failures = await Promise.all([1, 2, 3].map(() => failureOf(executor.run(A, [countItems]))))
  expect(failures.map(({ constructor }) => constructor)).toEqual(failures.map(() => UnavailableError))
})

test('idleTimeoutMillis ends sessions that nobody uses, and min keeps some', async () => {
  const executor = open({ pool: { max: 2, min: 1, idleTimeoutMillis: 1 } })
  const [first, second] = await twoSessions(executor)
  await untilGone(first)
  expect(await valueOf(executor, A, backend)).toBe(second)
  const none = open({ pool: { idleTimeoutMillis: 1 } })
  const pid = await valueOf(none, A, backend)
  await untilGone(pid)
  expect(await valueOf(none, A, backend)).not.toBe(pid)
})

test('idleTimeoutMillis of 0 or null keeps sessions that nobody uses', async () => {
  const [short, ...keeping] = [1, 0, null].map((idleTimeoutMillis) =>
    open({ pool: { idleTimeoutMillis } as pg.PoolConfig }),
  )
  const pids: unknown[] = []
  for (const executor of keeping) pids.push(await valueOf(executor, A, backend))
  // Longer than a timer of the same time would have waited.
  await untilGone(await valueOf(short as Executor, A, backend))
  for (const pid of pids) expect(await isThere(pid)).toBe(true)
})

test('maxUses ends a session after so many calls', async () => {
  const executor = open({ pool: { maxUses: 3 } })
  // The proof of a new session is the first call’s.
  const pids: unknown[] = []
  for (let round = 0; round < 6; round++) pids.push(await valueOf(executor, A, backend))
  expect(new Set(pids.slice(0, 3)).size).toBe(1)
  expect(new Set(pids.slice(3)).size).toBe(1)
  expect(pids[3]).not.toBe(pids[0])
  await untilGone(pids[0])
})

test('maxLifetimeSeconds ends a session that is idle, and one that is used when it is given back', async () => {
  const idle = open({ pool: { maxLifetimeSeconds: 0.05, idleTimeoutMillis: 0 } })
  await untilGone(await valueOf(idle, A, backend))
  const busy = open({ pool: { maxLifetimeSeconds: 0.05, idleTimeoutMillis: 0 } })
  const transaction = await busy.begin(A)
  const [first] = await transaction.run([backend, call('select pg_sleep(0.1)')])
  const pid = first?.rows[0]?.[0]
  const [again] = await transaction.run([backend])
  expect(again?.rows[0]?.[0]).toBe(pid)
  await transaction.commit()
  await untilGone(pid)
})

test('allowExitOnIdle lets the process end while a session is idle', async () => {
  const held = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
  const before = held()
  const kept = open()
  await kept.run(A, [countItems])
  expect(held()).toBe(before + 1)
  const free = open({ pool: { allowExitOnIdle: true } })
  await free.run(A, [countItems])
  expect(held()).toBe(before + 1)
  const transaction = await free.begin(A)
  await transaction.run([countItems])
  expect(held()).toBe(before + 2)
  await transaction.commit()
  expect(held()).toBe(before + 1)
})

test('connectionTimeoutMillis limits how long a call waits for a session, and nobody waits after that', async () => {
  const short = open({ pool: { connectionTimeoutMillis: 200 } })
  const holding = await short.begin(A)
  await holding.run([countItems])
  const failure = await failureOf(short.run(A, [countItems]))
  expect(failure).toBeInstanceOf(PoolTimeoutError)
  expect(failure.message).toContain('1 of at most 1')
  expect(failure.message).toContain('and 0 more calls wait')
  await holding.commit()
  expect(await valueOf(short, A, countItems)).toBe(10)
})

test('a call that waits gets a new session when the one it waits for is lost', async () => {
  const executor = open()
  const transaction = await executor.begin(A)
  const [first] = await transaction.run([backend])
  const pid = first?.rows[0]?.[0]
  const waiting = valueOf(executor, B, backend)
  await database.admin.query('select pg_terminate_backend($1)', [pid])
  await expect(transaction.run([countItems])).rejects.toThrow(UnavailableError)
  await transaction.rollback()
  expect(await waiting).not.toBe(pid)
})

test('onConnect and Client are the host’s', async () => {
  const made: unknown[] = []
  class Named extends pg.Client {}
  const hook = (client: pg.ClientBase): Promise<unknown> => {
    made.push(client.constructor)
    return client.query('set application_name = hooked')
  }
  const executor = open({
    pool: {
      Client: Named as unknown as new () => pg.ClientBase,
      onConnect: hook as unknown as (client: pg.ClientBase) => void,
    },
  })
  expect(await valueOf(executor, A, call("select current_setting('application_name')"))).toBe('hooked')
  expect(made).toEqual([Named])
  const failing = open({
    pool: {
      onConnect: () => {
        throw new Error('no')
      },
    },
  })
  await expect(failing.run(A, [countItems])).rejects.toThrow(UnavailableError)
  await executor.close()
  await untilNoneIsLeft()
})

test('verify is asked of a new session, and may refuse it', async () => {
  const seen: unknown[] = []
  const verify = (client: pg.PoolClient, done: (error?: Error) => void): void => {
    client.query('select 1 as one').then(({ rows }) => {
      seen.push(rows[0])
      done(seen.length === 1 ? new Error('not this one') : undefined)
    }, done)
  }
  const executor = open({ pool: { verify } })
  await expect(executor.run(A, [countItems])).rejects.toThrow(UnavailableError)
  expect(await valueOf(executor, A, countItems)).toBe(10)
  expect(seen).toEqual([{ one: 1 }, { one: 1 }])
  await executor.close()
  await untilNoneIsLeft()
})

test('closing waits until every session is closed, one that is being made included', async () => {
  const used = open({ pool: { max: 3, idleTimeoutMillis: 0 } })
  const pids = await twoSessions(used)
  await used.close({ drain: 0 })
  for (const pid of pids) await untilGone(pid)
  const unused = open({ pool: { idleTimeoutMillis: 0 } })
  const late = failureOf(unused.run(A, [countItems]))
  await unused.close({ drain: 0 })
  expect(await late).toBeInstanceOf(ScopeClosedError)
  await untilNoneIsLeft()
})

test('rows of several megabytes and texts of every script come over TLS as they do without', async () => {
  const secureContext = newCertificate()
  const { hostname, port } = new URL(database.appUrl)
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.write('S')
      const secure = new TLSSocket(socket, { isServer: true, secureContext })
      const upstream = connect(Number(port), hostname)
      for (const one of [secure, upstream, socket]) one.on('error', () => undefined)
      secure.pipe(upstream).pipe(secure)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
  })
  const target = new URL(database.appUrl)
  target.port = String((server.address() as AddressInfo).port)
  const executor = open({ pool: { connectionString: target.href, ssl: { rejectUnauthorized: false } } })
  const calls = [
    call("select repeat('abcdefgh', 1048576), $1::text, array[1, null], true", 'é漢😀'),
    call('select name from platform.items order by id'),
  ]
  const [plain, encrypted] = await Promise.all([open().run(A, calls), executor.run(A, calls)])
  expect(encrypted.map(({ rows }) => rows)).toEqual(plain.map(({ rows }) => rows))
  expect(plain[0]?.rows[0]?.[0]).toHaveLength(8_388_608)
  await executor.close()
})

test('pg reads nothing of a socket that was taken, and one that it reads in an unknown way is refused', async () => {
  const connected = async (): Promise<[StreamTap, pg.Client, DriverClient]> => {
    const tap = new StreamTap()
    const client = new pg.Client({ connectionString: database.appUrl, stream: tap.open })
    await client.connect()
    return [tap, client, client as unknown as DriverClient]
  }
  const [tap, client, driver] = await connected()
  driver.connection.stream.on('data', () => undefined)
  expect(() => tap.take(driver, () => undefined)).toThrow(UnavailableError)
  await client.end()
  const [other, taken, known] = await connected()
  expect(other.take(known, () => undefined).listenerCount('data')).toBe(0)
  await taken.end()
})
