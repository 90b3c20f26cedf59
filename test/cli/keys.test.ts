import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { beforeAll, expect, test } from 'vitest'
import { seed } from '../../src/migrations/seed.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, tenantry } from './command-line.js'

const database = useDatabase()
const key = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`
let env: Record<string, string>
let org = ''
beforeAll(async () => {
  env = { SYSTEM_DATABASE_URL: database.systemUrl, TENANTRY_KEYS: key('one', 1) }
  org = await createOrganization(database.admin)
})

const keys = (args: readonly string[], more: Record<string, string> = {}) =>
  tenantry(['keys', ...args], { env: { ...env, ...more } })

test('makes keys, rotates them and replaces the master key', async () => {
  expect(await keys(['ensure'])).toMatchObject({ code: 0, stdout: '1 organization got a key\n', stderr: '' })
  expect(await keys(['ensure'])).toMatchObject({ code: 0, stdout: 'Every organization has a key.\n' })
  expect(await keys(['rotate', '--org', `org-${org}`])).toMatchObject({
    code: 0,
    stdout: '1 organization rotated, 0 rows sealed again, 1 older key destroyed\n',
  })
  expect((await keys(['rotate', '--json'])).json()).toMatchObject({ organizations: 1, destroyed: 1, isComplete: true })
  const TENANTRY_KEYS = `${key('two', 2)},${key('one', 1)}`
  expect(await keys(['retire', 'one'], { TENANTRY_KEYS })).toMatchObject({
    code: 1,
    stderr: containing('run `tenantry keys rotate --master` first'),
  })
  expect(await keys(['rotate', '--master'], { TENANTRY_KEYS })).toMatchObject({
    code: 0,
    stdout: '1 key was wrapped under the active master key\n',
  })
  expect(await keys(['status'], { TENANTRY_KEYS })).toMatchObject({
    code: 0,
    stdout:
      'one  0 data keys, 0 API keys, 0 sessions, 0 invitations, 0 audit entries\n' +
      'two (active, right)  1 data key, 0 API keys, 0 sessions, 0 invitations, 0 audit entries\n',
  })
  expect(await keys(['status'])).toMatchObject({ stdout: containing('two (not in TENANTRY_KEYS)  1 data key') })
  expect(await keys(['retire', 'one'], { TENANTRY_KEYS })).toMatchObject({
    code: 0,
    stdout: 'Nothing needs one any more: remove it from TENANTRY_KEYS\n',
  })
  await database.admin.query(
    `insert into platform.audit_logs (org_id, id, event_type) select $1, gen_random_uuid(), 'x' from generate_series(1, 2)`,
    [org],
  )
  expect(await tenantry(['audit', 'seal'], { env })).toMatchObject({ code: 0 })
  const [{ count } = { count: 0 }] = await database.admin.query<{ count: number }>(
    'select count(*)::int as count from platform.audit_logs where seq is not null',
  )
  expect(count).toBeGreaterThan(1)
  expect(await keys(['retire', 'one'], { TENANTRY_KEYS })).toMatchObject({
    code: 0,
    stdout: `Remove one from the servers. Keep it for \`audit verify\`: ${count} entries were numbered under it.\n`,
  })
})

test('refuses what it cannot do, and needs the master keys in production', async () => {
  expect(await keys(['retire'])).toMatchObject({ code: 2, stderr: containing('Name the master key') })
  expect(await keys(['rotate', '--org', 'nobody'])).toMatchObject({ code: 1, stderr: 'organizations: not found\n' })
  expect(await keys(['rotate', '--org', 'a', '--master'])).toMatchObject({ code: 2 })
  await createOrganization(database.admin)
  const without = { env: { SYSTEM_DATABASE_URL: database.systemUrl, NODE_ENV: 'production' } }
  expect(await tenantry(['keys', 'ensure'], without)).toMatchObject({
    code: 2,
    stderr: containing('TENANTRY_KEYS: is missing'),
  })
})

test('a command uses the key file of its folder in development, and never makes one', async () => {
  await createOrganization(database.admin)
  const folder = await mkdtemp(join(tmpdir(), 'tenantry-folder-'))
  const file = join(folder, '.tenantry', 'keys')
  const bare = { SYSTEM_DATABASE_URL: database.systemUrl, DATABASE_URL: database.appUrl }
  const run = (args: string, more: Record<string, string> = {}) =>
    tenantry(args.split(' '), { cwd: folder, env: { ...bare, ...more } })
  const needing = [
    'keys ensure',
    'keys rotate --master',
    'org create fresh --owner ada@fresh.example',
    'key create --org fresh --name ci --role developer --scopes agents:read',
  ]
  await seed(database.admin)
  for (const command of needing)
    expect(await run(command)).toMatchObject({
      code: 2,
      stderr: containing('TENANTRY_KEYS: is missing, and this folder has no .tenantry/keys of an application'),
    })
  expect(existsSync(file)).toBe(false)
  expect(await run('org list')).toMatchObject({ code: 0 })

  await mkdir(join(folder, '.tenantry'))
  await writeFile(file, key('dev', 3))
  expect(await run('keys ensure', { NODE_ENV: 'production' })).toMatchObject({ code: 2 })
  const stderr = 'TENANTRY_KEYS is not set: using .tenantry/keys of this folder.\n'
  expect(await run('keys ensure')).toMatchObject({ code: 0, stderr })
  expect(await run('org create fresh --owner ada@fresh.example')).toMatchObject({ code: 0, stderr })
  expect(await run(needing[3] ?? '')).toMatchObject({ code: 0 })
  await rm(folder, { recursive: true })
})

test('works on an embedded database', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tenantry-keys-'))
  const where = ['--embedded', join(directory, 'data')]
  expect(await keys(['ensure', ...where])).toMatchObject({
    code: 2,
    stderr: containing('make it by tenantry migrate up'),
  })
  expect(existsSync(join(directory, 'data'))).toBe(false)
  expect(await tenantry(['migrate', 'up', ...where])).toMatchObject({ code: 0 })
  expect(await keys(['ensure', ...where])).toMatchObject({ code: 0, stdout: 'Every organization has a key.\n' })
  await createOrganization({ embedded: join(directory, 'data') })
  expect(await keys(['ensure', ...where])).toMatchObject({ code: 0, stdout: '1 organization got a key\n' })
  expect(await keys(['rotate', ...where])).toMatchObject({ code: 0 })

  expect(await tenantry(['seed', ...where])).toMatchObject({ code: 0 })
  const on = (command: string) => tenantry([...command.split(' '), ...where], { env })
  expect(await on('org create acme --owner ada@acme.example')).toMatchObject({ code: 0 })
  expect(await on('key create --org acme --name ci --role developer --scopes agents:read')).toMatchObject({
    code: 0,
    stdout: containing('tk_live_'),
  })
  await rm(directory, { recursive: true })
})
