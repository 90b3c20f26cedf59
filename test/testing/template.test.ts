import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { openSession, type Session } from '../../src/database/session.js'
import { createTestDatabase, prepareTemplate, type TestTemplate } from '../../src/testing/template.js'

let serverUrl: string
let server: Session
// Each drop is a checkpoint, which is slow where the server keeps its data (fsync on).
const dropping = { timeout: 120_000 }
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  serverUrl = inject('tenantry')?.serverUrl ?? ''
  server = await openSession({ url: serverUrl })
})

afterAll(async () => {
  await Promise.all(ends.map((end) => end()))
  await server.close()
})

test('each database is a copy of the template, and none sees what is written to another', async () => {
  const { template } = await newRun(createNotes)
  const [one, other] = [await createTestDatabase(template), await createTestDatabase(template)]
  await one.admin.query("insert into notes values ('mine')")

  expect(await one.admin.query('select * from notes')).toEqual([{ text: 'first' }, { text: 'mine' }])
  expect(await other.admin.query('select * from notes')).toEqual([{ text: 'first' }])
  await Promise.all([one.close(), other.close()])
})

test('a copy has the rights on the database that its template has', async () => {
  const { template } = await newRun(async (url) => {
    const session = await openSession({ url })
    const name = new URL(url).pathname.slice(1)
    await session.query(`revoke temporary on database ${name} from public`)
    await session.query(`grant create on database ${name} to tenantry_app`)
    await session.close()
  })
  const { appUrl } = await createTestDatabase(template)
  const app = await openSession({ url: appUrl })
  const rights = ['connect', 'temporary', 'create'].map(
    (right) => `has_database_privilege(current_database(), '${right}') as ${right}`,
  )

  expect(await app.query(`select ${rights.join(', ')}`)).toEqual([{ connect: true, temporary: false, create: true }])
  await app.close()
})

test('many copies can be made at once', async () => {
  const { template } = await newRun(createNotes)
  const databases = await Promise.all(Array.from({ length: 8 }, () => createTestDatabase(template)))

  expect(new Set(databases.map((database) => database.appUrl)).size).toBe(8)
})

test('a connection that migrate leaves open does not stand in the way of a copy', async () => {
  let left: Session | undefined
  const { template } = await newRun(async (url) => {
    left = await openSession({ url })
    await left.query('create table notes (text text)')
  })

  await expect(createTestDatabase(template)).resolves.toBeDefined()
  await expect(left?.query('select 1')).rejects.toThrow()
})

test('runs on one server migrate one after the other, and have logins of their own', async () => {
  let migrating = 0
  const together: number[] = []
  const migrate = async (url: string) => {
    together.push(++migrating)
    await createNotes(url)
    migrating--
  }
  const runs = await Promise.all([newRun(migrate), newRun(migrate), newRun(migrate)])

  expect(together).toEqual([1, 1, 1])
  const databases = await Promise.all(runs.map(({ template }) => createTestDatabase(template)))
  const logins = await Promise.all(databases.map(({ appUrl }) => loginOf(appUrl)))
  expect(new Set(logins).size).toBe(3)
})

test('the next run drops the databases of an ended run, and keeps those of a living run', dropping, async () => {
  const [ended, killed, living] = [await newRun(), await newRun(), await newRun()]
  for (const { template } of [ended, killed, living]) await createTestDatabase(template)
  await ended.end()
  await killBackendOf(killed.template)
  await newRun()

  expect(await namesOf(ended.template)).toEqual([])
  expect(await namesOf(killed.template)).toEqual([])
  expect(await namesOf(living.template)).toHaveLength(4)
  await expect(createTestDatabase(living.template)).resolves.toBeDefined()
})

test('neither a connection nor a right that a test gave to its login keeps a leftover', dropping, async () => {
  const { template, end } = await newRun()
  const { admin, appUrl } = await createTestDatabase(template)
  await admin.query(`grant create on schema public to ${new URL(appUrl).username}`)
  await end()
  await newRun()

  expect(await namesOf(template)).toEqual([])
})

test('a migration that fails is reported in its own words, and does not hold up the next run', async () => {
  await expect(newRun(() => Promise.reject(new Error('0001 is broken')))).rejects.toThrow('0001 is broken')

  await expect(newRun()).resolves.toBeDefined()
})

async function newRun(migrate: (url: string) => Promise<void> = () => Promise.resolve()) {
  const run = await prepareTemplate(serverUrl, migrate)
  ends.push(run.end)
  return run
}

async function createNotes(url: string): Promise<void> {
  const session = await openSession({ url })
  await session.query('create table notes (text text)')
  await session.query("insert into notes values ('first')")
  await session.close()
}

async function loginOf(url: string): Promise<string | undefined> {
  const session = await openSession({ url })
  const [row] = await session.query<{ login: string }>('select current_user as login')
  await session.close()
  return row?.login
}

/** The databases and logins of a run. */
async function namesOf({ prefix }: TestTemplate): Promise<string[]> {
  const rows = await server.query<{ name: string }>(
    `select datname::text as name from pg_database where datname ^@ $1
     union all select rolname::text from pg_roles where rolname ^@ $1 order by 1`,
    [prefix],
  )
  return rows.map(({ name }) => name)
}

/** What kill -9 of the run comes to on the server. */
async function killBackendOf({ prefix }: TestTemplate): Promise<void> {
  await server.query(
    `select pg_terminate_backend(pid, 5000) from pg_locks
     where locktype = 'advisory' and (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0)`,
    [prefix],
  )
}
