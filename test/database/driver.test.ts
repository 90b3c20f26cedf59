import { createRequire } from 'node:module'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UnavailableError } from '../../src/core/errors.js'
import {
  assertTestedPg,
  type DriverClient,
  type DriverConnection,
  isUnaskedMessage,
  type Submittable,
  testedPg,
  textParsers,
} from '../../src/database/driver.js'
import { Frames } from '../../src/database/frames.js'
import { useDatabase } from '../../src/testing/vitest.js'

// What is used of pg below its documented surface. When one of these fails, the range of pg was moved: look at what changed in
// pg before you change anything here, and then at everything that imports src/database/driver.ts.

const database = useDatabase()
const requireOfPg = createRequire(createRequire(import.meta.url).resolve('pg'))

let asPg: pg.Client
let client: DriverClient

beforeAll(async () => {
  asPg = new pg.Client({ connectionString: database.appUrl })
  await asPg.connect()
  client = asPg as unknown as DriverClient
})

afterAll(() => asPg.end())

test.each([
  ['pg-pool', '3.14.0'],
  ['pg-protocol', '1.16.1'],
  ['pg-types', '2.2.0'],
])('%s is %s, the version whose internals were read', (name, version) => {
  const file = requireOfPg.resolve(name)
  const root = file.slice(0, file.lastIndexOf(`/${name}/`) + name.length + 2)
  expect(requireOfPg(`${root}package.json`)).toMatchObject({ version })
})

test('package.json lets npm install the versions of pg that were tested, and the newest of them is tested here', () => {
  const manifest = createRequire(import.meta.url)('../../package.json') as Record<string, Record<string, string>>
  const { from, to } = testedPg
  expect(manifest.peerDependencies?.pg).toBe(`>=${from} <=${to}`)
  expect(manifest.devDependencies?.pg).toBe(to)
})

test.each(['8.21.9', '8.23.2', '8.24.0', '9.0.0', '7.99.99', '8.22.0-beta.1', '8.22', ''])(
  'pg %j is refused where it is loaded, with the versions that are wanted',
  (version) => {
    expect(() => {
      assertTestedPg(version)
    }).toThrow(UnavailableError)
    expect(() => {
      assertTestedPg(version)
    }).toThrow(
      `pg ${version} is installed, and this version of tenantry works with pg ${testedPg.from} to ${testedPg.to}`,
    )
  },
)

test.each(['8.22.0', '8.22.7', '8.23.0', '8.23.1'])('pg %s is taken', (version) => {
  expect(() => {
    assertTestedPg(version)
  }).not.toThrow()
})

/** Everything pg calls, in order, and what arrives on the connection. */
function recorder(texts: string[]): Submittable & { calls: string[]; done: Promise<void> } {
  const frames = new Frames()
  for (const text of texts) {
    frames.parse('', text)
    frames.bind('', [])
    frames.describePortal()
    frames.execute()
  }
  frames.sync()
  const bytes = frames.take()
  const calls: string[] = []
  const record =
    (name: string) =>
    (message?: object): void => {
      calls.push(message instanceof Error ? `${name} ${message.message}` : name)
    }
  const done = new Promise<void>((resolve) => {
    const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
    connection.once('readyForQuery', ({ status }: { status: string }) => {
      calls.push(`on readyForQuery ${status} ${client.getTransactionStatus()}`)
      resolve()
    })
  })
  return {
    calls,
    done,
    callback: () => undefined,
    submit(connection: DriverConnection) {
      calls.push('submit')
      connection.stream.write(bytes)
      return null
    },
    handleRowDescription: ({ fields }) =>
      calls.push(`fields ${fields.map((field) => `${field.name} ${field.dataTypeID}`).join()}`),
    handleDataRow: ({ fields }) => calls.push(`row ${JSON.stringify(fields)}`),
    handleCommandComplete: ({ text }) => calls.push(`tag ${text}`),
    handleEmptyQuery: record('empty'),
    handlePortalSuspended: record('suspended'),
    handleCopyInResponse: record('copy in'),
    handleCopyData: record('copy data'),
    handleError: record('error'),
    handleReadyForQuery: record('ready'),
  }
}

test('a query of one’s own is called in the order of the protocol, and then the connection says the status', async () => {
  const query = recorder(["select 1 as a, null::text as b, 'x'::text as c", 'values (1), (2)', ''])
  client.query(query)
  await query.done
  expect(query.calls).toEqual([
    'submit',
    'fields a 23,b 25,c 25',
    'row ["1",null,"x"]',
    'tag SELECT 1',
    'fields column1 23',
    'row ["1"]',
    'row ["2"]',
    'tag SELECT 2',
    'empty',
    'ready',
    'on readyForQuery I I',
  ])
})

test('after an error it is not called again, so that only the connection tells of ReadyForQuery', async () => {
  const query = recorder(['select 1', 'begin', 'select nothing'])
  client.query(query)
  await query.done
  expect(query.calls.slice(-3)).toEqual(['tag BEGIN', 'error column "nothing" does not exist', 'on readyForQuery E E'])
  const rollback = recorder(['rollback'])
  client.query(rollback)
  await rollback.done
  expect(rollback.calls.at(-1)).toBe('on readyForQuery I I')
})

test('a server’s error has a severity, one of the socket has not', async () => {
  const refused: unknown = await asPg.query('select nothing').catch((error: unknown) => error)
  expect(refused).toMatchObject({ severity: 'ERROR', code: '42703', routine: 'errorMissingColumn' })
  const lost = new pg.Client({ connectionString: database.appUrl })
  await lost.connect()
  const ended = new Promise<Error>((resolve) => lost.on('error', resolve))
  const connection = (lost as unknown as DriverClient).connection
  const closed = new Promise((resolve) => connection.once('end', resolve))
  connection.stream.destroy(new Error('broken'))
  expect(await ended).not.toHaveProperty('severity')
  await closed
})

test('a client that cannot submit tells the query and not the caller', async () => {
  const closed = new pg.Client({ connectionString: database.appUrl })
  await closed.connect()
  await closed.end()
  const failure = await new Promise((resolve) => {
    const query = { ...recorder(['select 1']), handleError: resolve }
    ;(closed as unknown as DriverClient).query(query)
  })
  expect(failure).not.toHaveProperty('severity')
})

test('the client says whether it waits for an answer, until it has read ReadyForQuery itself', async () => {
  const seen: boolean[] = []
  client.connection.prependOnceListener('readyForQuery', () => seen.push(client.readyForQuery))
  const query = recorder(['select 1'])
  seen.push(client.readyForQuery)
  client.query(query)
  seen.push(client.readyForQuery)
  await query.done
  seen.push(client.readyForQuery)
  expect(seen).toEqual([true, false, false, true])
})

test('each message of the server is an event of its connection, whoever asked', async () => {
  const seen: string[] = []
  for (const name of ['parseComplete', 'bindComplete', 'noData', 'closeComplete']) {
    client.connection.once(name, () => seen.push(name))
  }
  const closing = new Frames()
  closing.closeStatement('nothing')
  const query = recorder(['set application_name = driver'])
  const submit = query.submit.bind(query)
  client.query({ ...query, submit: (connection) => (connection.stream.write(closing.take()), submit(connection)) })
  await query.done
  expect(seen).toEqual(['closeComplete', 'parseComplete', 'bindComplete', 'noData'])
})

test.each([
  ['dataRow', Buffer.from('D\0\0\0\x06\0\0', 'latin1')],
  ['parseComplete', Buffer.from('1\0\0\0\x04', 'latin1')],
  ['a type that does not exist', Buffer.from('?\0\0\0\x04', 'latin1')],
])('a message that nobody asked for is an error of the client in known words: %s', async (_name, bytes) => {
  const idle = new pg.Client({ connectionString: database.appUrl })
  await idle.connect()
  const failed = new Promise<Error>((resolve) => idle.once('error', resolve))
  const { stream } = (idle as unknown as DriverClient).connection
  stream.emit('data', bytes)
  expect(isUnaskedMessage(await failed)).toBe(true)
  idle.on('error', () => undefined)
  await idle.end()
})

test('pg has the fields that cancel requests and the detection of a pooler need', async () => {
  const { rows } = await asPg.query<{ pid: number }>('select pg_backend_pid() as pid')
  expect(client.processID).toBe(rows[0]?.pid)
  expect(client).toMatchObject({
    secretKey: expect.any(Number) as unknown,
    host: expect.any(String) as unknown,
    port: expect.any(Number) as unknown,
    ssl: false,
    sslNegotiation: 'postgres',
  })
  // pg has had pipeline mode since 8.23.
  expect(client.pipeline ?? false).toBe(false)
  for (const method of ['connect', 'requestSsl', 'cancel']) expect(pg.Connection.prototype).toHaveProperty(method)
})

test('the parsers are there, and not those of the shared table', () => {
  const { JSONB } = pg.types.builtins
  const original = pg.types.getTypeParser(JSONB) as (text: string) => unknown
  pg.types.setTypeParser(JSONB, () => 'the host’s')
  const parsers = textParsers()
  pg.types.setTypeParser(JSONB, original)
  expect(parsers.get(JSONB)?.('{"a":1}')).toEqual({ a: 1 })
  expect(parsers.get(pg.types.builtins.BOOL)?.('t')).toBe(true)
  expect(parsers.size).toBeGreaterThan(40)
})

test('the pool has this error text when no connection is returned in time', async () => {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  const held = await pool.connect()
  pool.options.connectionTimeoutMillis = 5
  const failure = await new Promise((resolve) => {
    pool.connect((error) => {
      resolve(error)
    })
  })
  expect(failure).toEqual(new Error('timeout exceeded when trying to connect'))
  held.release()
  await pool.end()
})
