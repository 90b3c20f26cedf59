import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { PoolTimeoutError, UnavailableError } from '../../src/core/errors.js'
import { newCertificate } from '../support/certificate.js'
import { A, call, countItems, failureOf, useToySchema } from '../support/toy-schema.js'

const { database, open } = useToySchema()

/** A server of the test's own, which does with a connection what it is told. */
async function listening(onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined)
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function failureAt(connectionString: string, pool: pg.PoolConfig = {}): Promise<Error> {
  return failureOf(open({ pool: { connectionString, ...pool } }).run(A, [countItems]))
}

/** The url of the test database with a login and a password that must be in no error. */
function withSecrets(url: string): string {
  const changed = new URL(url)
  changed.username = 'secret_user'
  changed.password = 'secret_password'
  return changed.href
}

const hasNoSecret = (error: Error): void => {
  expect(`${error.message} ${error.stack ?? ''} ${JSON.stringify(error)}`).not.toMatch(/secret_/)
}

test.each([
  ['postgres://secret_user:secret_password@127.0.0.1:1/secret_name', '127.0.0.1:1', 'refused (ECONNREFUSED)'],
  ['postgres://secret_user:secret_password@[::1]:1/secret_name', '[::1]:1', /refused \(ECONNREFUSED\)|\(E[A-Z]+\)/],
  [
    'postgres://secret_user:secret_password@nobody.invalid/secret_name',
    'nobody.invalid:5432',
    /\((?:ENOTFOUND|EAI_AGAIN)\)/,
  ],
  ['postgres://secret_user:secret_password@localhost:1/secret_name', 'localhost:1', 'refused (ECONNREFUSED)'],
  ['/no/where secret_name', '/no/where/.s.PGSQL.5432', 'no such socket (ENOENT)'],
])('nobody at %s: the error names the address and the cause, and no part of the login', async (url, place, cause) => {
  const error = await failureAt(url)
  expect(error).toBeInstanceOf(UnavailableError)
  expect(error.message).toContain(`the database at ${place} cannot be reached: `)
  expect(error.message).toMatch(cause)
  hasNoSecret(error)
  // A client of the API learns nothing of the network.
  expect(JSON.stringify(error)).toBe('{"code":"unavailable","message":"the database cannot be reached"}')
})

test('a refused login, a database that is not there, and one that may not be entered say so', async () => {
  const { host } = new URL(database.appUrl)
  const wrong = await failureAt(withSecrets(database.appUrl))
  expect(wrong).toBeInstanceOf(UnavailableError)
  expect(wrong.message).toMatch(`the database at ${host} cannot be reached: the server refused the login`)
  hasNoSecret(wrong)
  const missing = new URL(database.appUrl)
  missing.pathname = 'secret_name'
  const absent = await failureAt(missing.href)
  expect(absent.message).toBe(`the database at ${host} cannot be reached: there is no such database on the server`)
})

test('the hint about CONNECT appears only when CONNECT is missing', async () => {
  const { host, pathname } = new URL(database.appUrl)
  const closed = `${pathname.slice(1)}_closed`
  await database.admin.query(`create database ${closed}`)
  onTestFinished(async () => {
    await database.admin.query(`drop database ${closed}`)
  })
  await database.admin.query(`revoke connect on database ${closed} from public`)
  const url = Object.assign(new URL(database.appUrl), { pathname: closed }).href
  expect((await failureAt(url)).message).toBe(
    `the database at ${host} cannot be reached: the login may not connect to the database: grant it CONNECT`,
  )
  const options = '-c log_statement=all'
  const unset = await failureOf(
    open({ pool: { connectionString: database.appUrl, options }, debug: true }).run(A, [countItems]),
  )
  const onConnect = async (connection: { query(text: string): Promise<unknown> }) => {
    await connection.query('select * from pg_catalog.pg_authid')
  }
  const unread = await failureOf(open({ debug: true, onConnect }).run(A, [countItems]))
  for (const error of [unset, unread]) {
    expect(error).toBeInstanceOf(UnavailableError)
    expect(error).toMatchObject({ debug: { sqlstate: '42501', message: expect.stringContaining('denied') as string } })
    expect(error.message).toMatch(/the login lacks a right/)
    expect(error.message).not.toContain('CONNECT')
  }
})

test('a server that never answers, one that hangs up and one without TLS are told apart', async () => {
  const silent = await listening(() => undefined)
  const unanswered = await failureAt(`postgres://secret_user:secret_password@127.0.0.1:${silent}/x`, {
    connectionTimeoutMillis: 50,
  })
  expect(unanswered.message).toBe(
    `the database at 127.0.0.1:${silent} cannot be reached: there was no answer within 50 ms`,
  )
  hasNoSecret(unanswered)
  const rude = await listening((socket) => socket.end())
  const ended = await failureAt(`postgres://127.0.0.1:${rude}/x`)
  expect(ended.message).toMatch(/: (?:the server ended the connection before it was ready|.*\(ECONNRESET\))$/)
  const plain = await listening((socket) => socket.once('data', () => socket.write('N')))
  const unencrypted = await failureAt(`postgres://127.0.0.1:${plain}/x?sslmode=verify-full`)
  expect(unencrypted.message).toMatch(/: the server does not support TLS$/)
})

test('a certificate that is not accepted is named as the cause', async () => {
  const secureContext = newCertificate()
  const port = await listening((socket) =>
    socket.once('data', () => {
      socket.write('S')
      new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => undefined)
    }),
  )
  const error = await failureAt(`postgres://secret_user:secret_password@localhost:${port}/x?sslmode=verify-full`)
  expect(error.message).toMatch(/: the certificate of the server is not accepted \([A-Z_]+\)$/)
  hasNoSecret(error)
})

test('an exhausted pool says how many connections there are, and why no further one could be made', async () => {
  const { host } = new URL(database.appUrl)
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 })
  const executor = open({ pool })
  const transaction = await executor.begin(A)
  pool.options.connectionTimeoutMillis = 5
  const error = await failureOf(executor.run(A, [countItems]))
  expect(error).toBeInstanceOf(PoolTimeoutError)
  expect(error.message).toContain(`1 of at most 1 to ${host} are open`)
  expect(JSON.stringify(error)).not.toContain(host)
  await transaction.commit()
  await executor.close()
  await pool.end()
})

test('with debug, a proof that the database refuses says why', async () => {
  const onConnect = async (connection: { query(text: string): Promise<unknown> }) => {
    await connection.query('select * from nowhere')
  }
  const failed = failureOf(open({ debug: true, onConnect }).run(A, [call('select 1')]))
  expect(await failed).toMatchObject({ code: 'query', debug: { sqlstate: '42P01' } })
})
