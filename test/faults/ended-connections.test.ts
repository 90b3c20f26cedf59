import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  CommitUnknownError,
  InvalidInputError,
  TimeoutError,
  TransactionAbortedError,
  UnavailableError,
  UnsafeStatementError,
} from '../../src/core/errors.js'
import type { Executor } from '../../src/core/executor.js'
import { type Proxy, startProxy } from '../support/proxy.js'
import {
  A,
  B,
  backend,
  call,
  countItems,
  countNamed,
  failureOf,
  insertItem,
  useToySchema,
  valueOf,
} from '../support/toy-schema.js'

const { database, open } = useToySchema()

let proxy: Proxy

beforeEach(async () => {
  proxy = await startProxy(database.appUrl)
})

afterEach(() => proxy.close())

const through = (pool = {}, options = {}): Executor =>
  open({ pool: { connectionString: proxy.url, ...pool }, ...options })

async function stored(name: string): Promise<number> {
  const rows = await database.admin.query<{ n: number }>(
    'select count(*)::int as n from platform.items where name = $1',
    [name],
  )
  return rows[0]?.n ?? NaN
}

/** The whole answer to the next batch goes through `change`. */
async function changeAnswer(executor: Executor, change: (bytes: Buffer) => Buffer): Promise<void> {
  await executor.ping()
  changeNextAnswer(change)
}

function changeNextAnswer(change: (bytes: Buffer) => Buffer): void {
  let answer = Buffer.alloc(0)
  proxy.filter = (bytes, direction) => {
    if (direction === 'to server') return bytes
    // The server sends an error before it has written the rest of the answer.
    answer = Buffer.concat([answer, bytes])
    if (answer.at(-6) !== 0x5a) return undefined
    proxy.filter = (later) => later
    return change(answer)
  }
}

/** Everything up to and with the n-th message of that type. */
function untilMessage(bytes: Buffer, type: string, count: number): Buffer {
  let at = 0
  for (let seen = 0; seen < count; at += 1 + bytes.readInt32BE(at + 1)) {
    if (bytes[at] === type.charCodeAt(0)) seen++
  }
  return bytes.subarray(0, at)
}

const cut = (bytes: Buffer): Buffer => {
  setImmediate(() => {
    proxy.reset()
  })
  return bytes
}

test.each([{ blocks: false }, { blocks: true }])('answers in single bytes are read all the same: %o', async (mode) => {
  proxy.split = true
  const executor = through({}, mode)
  const name = `split ${mode.blocks}`
  for (let round = 0; round < 2; round++) {
    await executor.run(A, [insertItem(A, name), call('select id, name, quantity from platform.items')])
    await expect(executor.run(A, [call('select 1 / $1::int', 0)])).rejects.toThrow(InvalidInputError)
    expect(await valueOf(executor, B, countItems)).toBe(10)
    const transaction = await executor.begin(A)
    await transaction.run([insertItem(A, name)])
    await transaction.commit()
  }
  expect(await stored(name)).toBe(4)
})

test('a network that breaks while connecting is unavailability, and nothing is left open', async () => {
  let phase = 0
  proxy.filter = (bytes, direction) => {
    if (direction === 'to client' && phase++ % 2 === 1) proxy.reset()
    return bytes
  }
  const executor = through()
  for (let round = 0; round < 3; round++) {
    await expect(executor.run(A, [insertItem(A, 'connecting')])).rejects.toThrow(UnavailableError)
  }
  proxy.filter = (bytes) => bytes
  expect(await valueOf(executor, A, countNamed('connecting'))).toBe(0)
})

test.each([{ blocks: false }, { blocks: true }])(
  'a write whose answer is lost is unknown, for it was done: %o',
  async (mode) => {
    const executor = through({}, mode)
    const name = `lost answer ${mode.blocks}`
    await executor.run(A, [insertItem(A, name)])
    // Without a byte of it, with its command tag, and with all but ReadyForQuery.
    for (const kept of [
      () => Buffer.alloc(0),
      (bytes: Buffer) => untilMessage(bytes, 'C', 2),
      (bytes: Buffer) => bytes.subarray(0, -6),
    ]) {
      await changeAnswer(executor, (bytes) => cut(kept(bytes)))
      expect(await failureOf(executor.run(A, [insertItem(A, name)]))).toBeInstanceOf(CommitUnknownError)
    }
    expect(await stored(name)).toBe(4)
    expect(await valueOf(executor, B, countItems)).toBe(10)
  },
)

test('a read whose answer is lost is unavailability', async () => {
  const executor = through()
  await changeAnswer(executor, (bytes) => cut(bytes.subarray(0, bytes.length / 2)))
  await expect(executor.run(A, [countItems])).rejects.toThrow(UnavailableError)
  // As far as its text tells, this function of a schema could write; under a read-only transaction it cannot.
  const writing = call('select platform.current_org()')
  await changeAnswer(executor, () => cut(Buffer.alloc(0)))
  await expect(executor.run(A, [countItems, writing])).rejects.toThrow(CommitUnknownError)
  await changeAnswer(executor, () => cut(Buffer.alloc(0)))
  await expect(executor.run(A, [writing], { readOnly: true })).rejects.toThrow(UnavailableError)
})

test('a function that writes is unknown when its answer is lost, though its name has no schema', async () => {
  await database.admin.query(`
    create function public.add_item(org uuid, name text) returns void language sql as
    $$ insert into platform.items (org_id, id, name) values (org, gen_random_uuid(), name) $$`)
  await database.admin.query('grant usage on schema public to tenantry_app')
  await database.admin.query('grant execute on function public.add_item to tenantry_app')
  for (const mode of [{ blocks: false }, { blocks: true }]) {
    const executor = through({}, mode)
    const name = `by a function ${mode.blocks}`
    const adding = call('select add_item($1, $2)', A.id, name)
    await changeAnswer(executor, () => cut(Buffer.alloc(0)))
    expect(await failureOf(executor.run(A, [adding]))).toBeInstanceOf(CommitUnknownError)
    const transaction = await executor.begin(A)
    await transaction.run([adding])
    changeNextAnswer(() => cut(Buffer.alloc(0)))
    expect(await failureOf(transaction.commit())).toBeInstanceOf(CommitUnknownError)
    expect(await stored(name)).toBe(2)
  }
})

test('an error that arrived is the error, though the connection was lost behind it', async () => {
  const executor = through()
  await executor.run(A, [countItems])
  await changeAnswer(executor, (bytes) => cut(bytes.subarray(0, -6)))
  await expect(executor.run(A, [insertItem(A, 'refused', -1)])).rejects.toThrow(InvalidInputError)
})

test('an error that arrived is the error, though the server ended the session behind it', async () => {
  const executor = through()
  const duplicate = call('insert into platform.organizations select * from platform.organizations')
  const fatal = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mended by the administrator\0\0')
  const head = Buffer.from([0x45, 0, 0, 0, 4 + fatal.length])
  await changeAnswer(executor, (bytes) => cut(Buffer.concat([untilMessage(bytes, 'E', 1), head, fatal])))
  const failure = await failureOf(executor.run(A, [insertItem(A, 'behind'), duplicate]))
  expect(failure).toMatchObject({ code: 'query' })
  expect(await stored('behind')).toBe(0)
})

test('a commit whose answer is lost is unknown, unless there was nothing to write', async () => {
  const executor = through()
  const writing = await executor.begin(A)
  await writing.run([insertItem(A, 'lost commit')])
  changeNextAnswer(() => cut(Buffer.alloc(0)))
  await expect(writing.commit()).rejects.toThrow(CommitUnknownError)
  await writing.rollback()
  expect(await stored('lost commit')).toBe(1)

  const reading = await executor.begin(A)
  await reading.run([countItems])
  changeNextAnswer(() => cut(Buffer.alloc(0)))
  await expect(reading.commit()).rejects.toThrow(UnavailableError)
})

test('a transaction that loses its connection before the commit has written nothing', async () => {
  const executor = through()
  const running = await executor.begin(A)
  await running.run([insertItem(A, 'lost before')])
  changeNextAnswer(() => cut(Buffer.alloc(0)))
  await expect(running.run([insertItem(A, 'lost before')])).rejects.toThrow(UnavailableError)
  await expect(running.commit()).rejects.toThrow(UnavailableError)
  await running.rollback()

  const first = await executor.begin(A)
  proxy.reset()
  await expect(first.run([insertItem(A, 'lost before')])).rejects.toThrow(UnavailableError)
  await first.rollback()
  expect(await stored('lost before')).toBe(0)
  expect(await valueOf(executor, B, countItems)).toBe(10)
})

test('a commit that could not even be sent is not unknown', async () => {
  const pool = new pg.Pool({ connectionString: proxy.url, max: 1 })
  const ended = new Promise((resolve) => pool.on('connect', (client) => client.once('end', resolve)))
  const executor = open({ pool })
  const transaction = await executor.begin(A)
  await transaction.run([insertItem(A, 'not sent')])
  proxy.reset()
  await ended
  await expect(transaction.commit()).rejects.toThrow(UnavailableError)
  expect(await stored('not sent')).toBe(0)
  await executor.close()
  await pool.end()
})

test('a server that goes silent is given up, and the next caller does not wait behind it', async () => {
  const executor = through({ statement_timeout: 500 }, { grace: 500 })
  // Longer than both together, so that it is the last call that is watched and not the first.
  for (let nap = 0; nap < 6; nap++) await executor.run(A, [call('select pg_sleep(0.2)')])
  proxy.filter = () => undefined
  const silent = failureOf(executor.run(A, [countItems])).finally(() => {
    proxy.filter = (bytes) => bytes
  })
  const behind = valueOf(executor, B, countItems)
  expect(await silent).toBeInstanceOf(UnavailableError)
  expect(await behind).toBe(10)

  const transaction = await executor.begin(A)
  await transaction.run([insertItem(A, 'silent')])
  proxy.filter = () => undefined
  await expect(transaction.commit()).rejects.toThrow(CommitUnknownError)
  proxy.filter = (bytes) => bytes
  expect(await valueOf(executor, B, countItems)).toBe(10)
})

test('a server that goes silent while connecting, or while the connection is proved, is given up', async () => {
  proxy.filter = () => undefined
  const executor = through({ connectionTimeoutMillis: 100 })
  await expect(executor.run(A, [countItems])).rejects.toThrow(UnavailableError)
  proxy.filter = (bytes) => bytes
  const proving = through(
    { connectionTimeoutMillis: 1_000 },
    {
      onConnect: async (connection: { query: (text: string) => Promise<unknown> }) => {
        proxy.filter = () => undefined
        await connection.query('select 1')
      },
    },
  )
  await expect(proving.run(A, [countItems])).rejects.toThrow(UnavailableError)
})

test('a long batch is not silence while it goes on', async () => {
  const executor = through({ statement_timeout: 200 }, { grace: 50 })
  const naps = Array.from({ length: 8 }, () => call('select pg_sleep(0.05)'))
  await expect(executor.run(A, naps)).resolves.toHaveLength(8)
})

test('a transaction left open at ReadyForQuery ends the connection, and the call fails', async () => {
  const executor = through()
  const pid = await valueOf(executor, A, call('select pg_backend_pid()'))
  for (const status of ['T', 'E']) {
    await changeAnswer(executor, (bytes) => {
      bytes.write(status, bytes.length - 1)
      return bytes
    })
    await expect(executor.run(A, [countItems])).rejects.toThrow(UnsafeStatementError)
  }
  expect(await valueOf(executor, A, call('select pg_backend_pid()'))).not.toBe(pid)
})

test('a commit that answers ROLLBACK is not taken for one', async () => {
  const asRollback = (bytes: Buffer): Buffer => {
    const at = bytes.indexOf('COMMIT\0')
    const tag = Buffer.from('C\0\0\0\0ROLLBACK\0')
    tag.writeInt32BE(tag.length - 1, 1)
    return Buffer.concat([bytes.subarray(0, at - 5), tag, bytes.subarray(at + 7)])
  }
  const executor = through({}, { blocks: true })
  await executor.run(A, [countItems])
  await changeAnswer(executor, asRollback)
  await expect(executor.run(A, [countItems])).rejects.toThrow(TransactionAbortedError)
  const transaction = await executor.begin(A)
  await transaction.run([countItems])
  changeNextAnswer(asRollback)
  await expect(transaction.commit()).rejects.toThrow(TransactionAbortedError)
})

test('a COPY that the server would wait for ends the connection', async () => {
  const executor = through({}, { grace: 100 })
  await executor.run(A, [countItems])
  await changeAnswer(executor, (bytes) =>
    Buffer.concat([Buffer.from('G\0\0\0\x07\0\0\0', 'latin1'), bytes.subarray(0, -6)]),
  )
  await expect(executor.run(A, [countItems])).rejects.toThrow(UnavailableError)
  expect(await valueOf(executor, B, countItems)).toBe(10)
})

test('an answer that cannot be read fails the call and ends the connection', async () => {
  const executor = through()
  const json = call('select \'{"a": 1}\'::json')
  const writing = call(
    `insert into platform.items (org_id, id, name) values ($1, gen_random_uuid(), 'unread')
     returning '{"a": 1}'::json`,
    A.id,
  )
  for (const [one, failure] of [
    [json, UnavailableError],
    [writing, CommitUnknownError],
  ] as const) {
    await executor.run(A, [one])
    const before = await valueOf(executor, A, backend)
    await changeAnswer(executor, (bytes) => {
      bytes.write('x', bytes.indexOf('1}'))
      return bytes
    })
    expect(await failureOf(executor.run(A, [one]))).toBeInstanceOf(failure)
    expect(await valueOf(executor, A, backend)).not.toBe(before)
  }
  expect(await stored('unread')).toBe(2)
})

test('killed connections under load: what was acknowledged is there once, what failed is not, the rest is said to be unknown', async () => {
  const executor = through({ max: 4, connectionTimeoutMillis: 20_000 })
  const kill = `select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`
  let kills: Promise<unknown> = Promise.resolve()
  const outcome = new Map<string, 'done' | 'unknown' | 'failed'>()
  let next = 0
  const write = async (): Promise<void> => {
    for (let name = `load ${next++}`; next <= 400; name = `load ${next++}`) {
      await executor.run(A, [insertItem(A, name)]).then(
        () => outcome.set(name, 'done'),
        (error: unknown) => {
          if (!(error instanceof CommitUnknownError || error instanceof UnavailableError)) throw error
          outcome.set(name, error instanceof CommitUnknownError ? 'unknown' : 'failed')
        },
      )
      if (next % 20 === 0) proxy.reset()
      if (next % 33 === 0) kills = kills.then(() => database.admin.query(kill))
    }
  }
  await Promise.all(Array.from({ length: 8 }, write))
  await kills
  const rows = await database.admin.query<{ name: string; n: number }>(
    "select name, count(*)::int as n from platform.items where name like 'load %' group by name",
  )
  const found = new Map(rows.map((row) => [row.name, row.n]))
  for (const [name, what] of outcome) {
    const times = found.get(name) ?? 0
    if (what === 'done') expect(times, name).toBe(1)
    else if (what === 'failed') expect(times, name).toBe(0)
    else expect(times, name).toBeLessThanOrEqual(1)
  }
  expect([...outcome.values()].filter((what) => what === 'done').length).toBeGreaterThan(200)
  expect(await valueOf(executor, B, countItems)).toBe(10)
})

test('a statement that the server ends late is a timeout, not silence', async () => {
  const executor = through({ statement_timeout: 50 }, { grace: 2_000 })
  await expect(executor.run(A, [call('select pg_sleep(10)')])).rejects.toThrow(TimeoutError)
})
