import { once } from 'node:events'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { openSession } from '../../src/database/session.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { keys } from '../support/use-teams.js'
import { containing, start, tenantry } from './command-line.js'

const database = useDatabase()
let env: Record<string, string>
beforeAll(() => {
  env = { SYSTEM_DATABASE_URL: database.systemUrl, TENANTRY_KEYS: keys }
})
const audit = (...args: string[]) => tenantry(['audit', ...args], { env })

/** An organization with so many entries that are not sealed. */
async function newLog(entries: number): Promise<{ org: string; slug: string }> {
  const org = await createOrganization(database.admin)
  const [row] = await database.admin.query<{ slug: string }>('select slug from platform.organizations where id = $1', [
    org,
  ])
  await database.admin.query(
    `insert into platform.audit_logs (org_id, id, event_type)
     select $1, gen_random_uuid(), 'report.' || n from generate_series(1, $2::int) n`,
    [org, entries],
  )
  return { org, slug: row?.slug ?? '' }
}

test('seals, verifies, and prints the head, which is an anchor', async () => {
  const { org, slug } = await newLog(3)
  expect(await audit('seal', '--org', slug, '--limit', '2')).toMatchObject({
    code: 0,
    stdout: '2 entries of 1 organization sealed\nThere may be more: run it again, or raise --limit.\n',
  })
  expect(await audit('verify', '--org', slug)).toMatchObject({
    code: 0,
    stdout: '2 entries of 1 organization verified\n1 entry not sealed yet\n',
  })
  expect((await audit('seal', '--json')).json()).toEqual({
    entries: 1,
    organizations: 1,
    isComplete: true,
    notSealed: [],
  })
  expect(await audit('seal')).toMatchObject({ code: 0, stdout: 'Everything is sealed.\n' })
  const { stdout: anchor } = await audit('head', '--org', slug)
  expect(anchor).toMatch(/^3:04[0-9a-f]{72}\n$/)
  const anchored = ['verify', '--org', slug, '--anchor', anchor.trim()]
  expect(await audit(...anchored)).toMatchObject({ code: 0, stdout: '3 entries of 1 organization verified\n' })

  await database.admin.query('delete from platform.audit_logs where org_id = $1 and seq = 3', [org])
  await database.admin.query(
    `update platform.audit_seals s set seq = 2, hash = a.hash from platform.audit_logs a
     where s.org_id = $1 and a.org_id = $1 and a.seq = 2`,
    [org],
  )
  expect(await audit('verify', '--org', slug)).toMatchObject({ code: 0 })
  expect(await audit(...anchored)).toMatchObject({
    code: 3,
    stdout: `${org}  entry 3: it and all after it are gone\n2 entries of 1 organization verified, 1 broken\n`,
  })
})

test('names the organizations that cannot be sealed, and ends with 3', async () => {
  const { org } = await newLog(1)
  await database.admin.query(`update platform.audit_logs set event_type = 'report.huge' where org_id = $1`, [org])
  const other = await newLog(2)
  // Instead of a text of a gigabyte.
  await database.admin.query(
    `alter table platform.audit_logs add constraint too_large check (seq is null or event_type <> 'report.huge')`,
  )
  const line = `${org}  not sealed: its next entry failed with invalid_input. It may be too large: the owner deletes or shortens it\n`
  try {
    expect(await audit('seal')).toMatchObject({ code: 3, stdout: `2 entries of 1 organization sealed\n${line}` })
    expect(await audit('verify', '--org', other.slug)).toMatchObject({ code: 0 })
    expect(await tenantry(['maintain'], { env })).toMatchObject({ code: 3, stdout: `Nothing is past.\n${line}` })
  } finally {
    await database.admin.query('alter table platform.audit_logs drop constraint too_large')
  }
  expect(await audit('seal')).toMatchObject({ code: 0 })
})

test('names each broken chain, and ends with 3', async () => {
  const [one, two] = [await newLog(2), await newLog(2)]
  await audit('seal')
  await database.admin.query(`update platform.audit_logs set event_type = 'no' where org_id = $1 and seq = 2`, [
    one.org,
  ])
  const [edited] = await database.admin.query<{ id: string }>(
    'select id from platform.audit_logs where org_id = $1 and seq = 2',
    [one.org],
  )
  await database.admin.query('delete from platform.audit_logs where org_id = $1 and seq = 1', [two.org])
  const { code, stdout } = await audit('verify')
  expect(code).toBe(3)
  expect(stdout).toContain(`${one.org}  entry 2 (${edited?.id ?? ''}): its content or its hash was changed\n`)
  expect(stdout).toContain(`${two.org}  entry 1: it is gone\n`)
  expect((await audit('verify', '--org', one.slug, '--json')).json()).toMatchObject({
    isIntact: false,
    broken: [{ orgId: one.org, fault: 'edited', seq: 2, id: edited?.id }],
  })
})

test('needs the keys of the application, and refuses what it cannot read', async () => {
  const { slug } = await newLog(1)
  const bare = { SYSTEM_DATABASE_URL: database.systemUrl }
  for (const command of ['seal', 'verify'])
    expect(await tenantry(['audit', command], { env: bare })).toMatchObject({
      code: 2,
      stderr: containing('TENANTRY_KEYS: is not set'),
    })
  expect(await audit('head', '--org', slug)).toMatchObject({ code: 0, stdout: containing('Nothing is sealed yet') })
  const wrong = [
    ['verify', '--anchor', '1:00'],
    ['verify', '--org', slug, '--anchor', 'one'],
    ['verify', '--org', slug, '--anchor', '1:00'],
    ['verify', '--from', 'here'],
    ['seal', '--limit', '0'],
    ['head'],
    [],
  ]
  for (const args of wrong) expect(await audit(...args), args.join(' ')).toMatchObject({ code: 2 })
  expect(await audit('seal', '--org', 'nobody')).toMatchObject({ code: 1 })
})

test('a verification that is interrupted says where to go on', async () => {
  const { org, slug } = await newLog(1500)
  await audit('seal')
  const anchor = (await audit('head', '--org', slug)).stdout.trim()
  const holder = await openSession({ url: database.adminUrl })
  onTestFinished(() => holder.close())
  await holder.query('begin')
  // The proof of the login may read it. The search for the slug, which is recorded in it, has to wait.
  await holder.query('lock table platform.system_audit_logs in exclusive mode')
  const child = start(['audit', 'verify', '--org', slug, '--anchor', anchor], {
    env: { PATH: process.env.PATH, ...env },
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const said: string[] = []
  child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text))
  const waiting = `select from pg_locks where not granted and relation = 'platform.system_audit_logs'::regclass
    and database = (select oid from pg_database where datname = current_database())`
  await vi.waitFor(
    async () => {
      expect(await database.admin.query(waiting)).toHaveLength(1)
    },
    { timeout: 60_000 },
  )
  const ended = once(child, 'close')
  child.kill('SIGINT')
  await vi.waitFor(() => {
    expect(said.join('')).toContain('interrupted')
  })
  await holder.query('rollback')
  expect(await ended).toEqual([130, null])
  expect(said.join('')).toContain(
    `Stopped. Go on with: tenantry audit verify --org ${slug} --anchor ${anchor} --from ${org}:0\n`,
  )
  const rest = await audit('verify', '--org', slug, '--from', `${org}:1000`)
  expect(rest).toMatchObject({ code: 0, stdout: '501 entries of 1 organization verified\n' })
})
