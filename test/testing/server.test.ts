import dns from 'node:dns'
import { afterEach, beforeEach, expect, inject, type Mock, test, vi } from 'vitest'
import { openSession } from '../../src/database/session.js'
import { createTestDatabase, startTestServer } from '../../src/testing/index.js'

type Answer = (error: null, addresses: dns.LookupAddress[]) => void

const start = () => startTestServer({ migrate: createRoles })

beforeEach(() => {
  vi.stubEnv('TENANTRY_TEST_SERVER', '')
  vi.stubEnv('TEST_DATABASE_URL', inject('tenantry')?.serverUrl)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

test(
  'a server given by TEST_DATABASE_URL is taken without being asked for, and outlives the run',
  { timeout: 90_000 },
  async () => {
    const first = await start()
    expect(first.source).toBe('url')
    await first.stop()

    const second = await start()
    const database = await createTestDatabase(second.template)
    expect(await database.admin.query('select 1 as one')).toEqual([{ one: 1 }])
    await database.close()
    await second.stop()
  },
)

test('one that does not answer is an error, which says what of the others was not asked', async () => {
  vi.stubEnv('TEST_DATABASE_URL', 'postgres://postgres:hidden@127.0.0.1:1/postgres')

  const message = await start().catch((error: unknown) => (error as Error).message)
  expect(message).toBe(
    [
      'there is no Postgres for the tests',
      'docker: not asked, because TEST_DATABASE_URL is set',
      'embedded: not asked, because TEST_DATABASE_URL is set',
      'url: connect ECONNREFUSED 127.0.0.1:1',
    ].join('\n- '),
  )
})

test('a name with several addresses that all refuse is told with each of them', async () => {
  const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }))
  const lookup = vi.spyOn(dns, 'lookup') as unknown as Mock<(name: string, options: unknown, done: Answer) => void>
  lookup.mockImplementation((_name, _options, done) => {
    done(null, addresses)
  })
  vi.stubEnv('TEST_DATABASE_URL', 'postgres://postgres@database.test:1/postgres')

  await expect(start()).rejects.toThrow('url: connect ECONNREFUSED 127.0.0.1:1, connect ECONNREFUSED 127.0.0.2:1')
})

test.each(['postgres:///postgres?host=/var/run/postgresql', 'localhost'])('%s is not a url for it', async (url) => {
  vi.stubEnv('TEST_DATABASE_URL', url)

  await expect(start()).rejects.toThrow(
    'url: TEST_DATABASE_URL must look like postgres://user:password@host:5432/database',
  )
})

test('TENANTRY_TEST_SERVER chooses, and nothing else is tried', async () => {
  vi.stubEnv('TENANTRY_TEST_SERVER', 'url')
  vi.stubEnv('TEST_DATABASE_URL', '')

  await expect(start()).rejects.toThrow(
    /docker: not asked, because TENANTRY_TEST_SERVER is url[^]*url: TEST_DATABASE_URL is not set/,
  )
})

test('TENANTRY_TEST_SERVER overrides TEST_DATABASE_URL', { timeout: 90_000 }, async () => {
  vi.stubEnv('TENANTRY_TEST_SERVER', 'embedded')

  const server = await start()
  expect(server.source).toBe('embedded')
  await server.stop()
})

test('an unknown TENANTRY_TEST_SERVER is named in the error', async () => {
  vi.stubEnv('TENANTRY_TEST_SERVER', 'podman')

  await expect(start()).rejects.toThrow('TENANTRY_TEST_SERVER must be docker, embedded or url, not podman')
})

async function createRoles(url: string): Promise<void> {
  const session = await openSession({ url })
  for (const role of ['tenantry_app', 'tenantry_system']) {
    const found = await session.query('select from pg_roles where rolname = $1', [role])
    if (found.length === 0) await session.query(`create role ${role}`)
  }
  await session.close()
}
