import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { seed } from '../../src/migrations/seed.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, tenantry } from './command-line.js'

const database = useDatabase()
const key = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`
const run = (TENANTRY_KEYS: string, command: string) =>
  tenantry(command.split(' '), { env: { SYSTEM_DATABASE_URL: database.systemUrl, TENANTRY_KEYS } })
const [right, wrong] = [key('k1', 1), key('k1', 2)]
const refused = {
  code: 2,
  stderr: containing('TENANTRY_KEYS: the key k1 is not the one that this database was used with'),
}
const notSealed = {
  code: 3,
  stdout: containing('No audit entries were sealed: the active key is not the one that this database was used with'),
}
const organizations: string[] = []
const addEntries = () =>
  database.admin.query(
    `insert into platform.audit_logs (org_id, id, event_type) select o, gen_random_uuid(), 'x' from unnest($1::uuid[]) o`,
    [organizations],
  )
beforeAll(async () => {
  await seed(database.admin)
  organizations.push(await createOrganization(database.admin), await createOrganization(database.admin))
  await addEntries()
})

test('a key that sealed entries is compared by their hashes where it wrapped no data key', async () => {
  expect((await run(wrong, 'keys status --json')).json()).toEqual({
    keys: [expect.objectContaining({ isRight: null })],
  })
  expect(await run(right, 'audit seal')).toMatchObject({ code: 0, stdout: containing('sealed') })
  await addEntries()
  for (const command of ['audit seal', 'keys ensure']) expect(await run(wrong, command)).toMatchObject(refused)
  expect(await run(wrong, 'maintain')).toMatchObject(notSealed)
  const edit = (type: string) =>
    database.admin.query('update platform.audit_logs set event_type = $2 where org_id = $1 and seq = 1', [
      organizations[0],
      type,
    ])
  await edit('edited')
  expect(await run(right, 'maintain')).toMatchObject({ code: 0, stdout: '2 audit entries sealed\n' })
  await edit('x')
  expect(await run(right, 'audit verify')).toMatchObject({ code: 0 })
})

test('a key that wrapped data keys is refused before anything is wrapped or sealed with another of its id', async () => {
  expect(await run(right, 'keys ensure')).toMatchObject({ code: 0 })
  await addEntries()
  const commands = ['audit seal', 'org create fresh --owner ada@fresh.example', 'keys rotate', 'keys rotate --master']
  for (const command of commands) expect(await run(wrong, command)).toMatchObject(refused)
  expect(await run(wrong, 'maintain')).toMatchObject(notSealed)
  expect(await run(wrong, 'keys status')).toMatchObject({
    code: 3,
    stdout: containing('k1 (active, not the one that this database was used with)  2 data keys'),
  })
  expect(await run(right, 'keys status')).toMatchObject({
    code: 0,
    stdout: containing('k1 (active, right)  2 data keys'),
  })
  expect(await run(right, 'audit verify')).toMatchObject({ code: 0 })
  expect(await run(right, 'org create fresh --owner ada@fresh.example')).toMatchObject({ code: 0 })
})

/** Changes a bit in the column of these rows, and again after the test. */
async function damage(table: 'org_keys' | 'audit_logs', column: string, ids: readonly unknown[]): Promise<void> {
  const flip = () =>
    database.admin.query(
      `update platform.${table} set ${column} = set_byte(${column}, 20, get_byte(${column}, 20) # 1) where id = any ($1)`,
      [ids],
    )
  await flip()
  onTestFinished(async () => void (await flip()))
}

const idsOf = async (from: string) =>
  (await database.admin.query<{ id: string }>(`select id from ${from}`)).map(({ id }) => id)
const dataKeys = () => idsOf('platform.org_keys where wrapped is not null')
const sealedEntries = () => idsOf('platform.audit_logs where hash is not null')

test.each(['every data key', 'the last entry of every chain'])(
  'the right key seals where %s was damaged',
  async (what) => {
    if (what === 'every data key') await damage('org_keys', 'wrapped', await dataKeys())
    else
      await damage(
        'audit_logs',
        'hash',
        await idsOf('platform.audit_logs l join platform.audit_seals s using (org_id, seq)'),
      )
    await addEntries()
    expect(await run(right, 'maintain')).toMatchObject({ code: 0, stdout: containing('2 audit entries sealed') })
    // Where no data key opens, a damaged table looks like a wrong key.
    const isRight = what !== 'every data key'
    expect((await run(right, 'keys status --json')).json()).toMatchObject({ keys: [{ id: 'k1', isRight }] })
  },
)

test('with every hash damaged the data keys show that the key is right; with those damaged too it counts as wrong', async () => {
  await damage('audit_logs', 'hash', await sealedEntries())
  expect((await run(right, 'keys status --json')).json()).toMatchObject({ keys: [{ isRight: true }] })
  await damage('org_keys', 'wrapped', await dataKeys())
  expect((await run(right, 'keys status --json')).json()).toMatchObject({ keys: [{ isRight: false }] })
  expect(await run(right, 'keys rotate')).toMatchObject(refused)
})

test('a wrong key stops the sealing of maintenance, and nothing else of it', async () => {
  await database.admin.query(
    `insert into platform.idempotency_keys (org_id, id, key, request_hash, expires_at)
     values ($1, gen_random_uuid(), 'x', '\\x', now() - interval '1 hour')`,
    [organizations[0]],
  )
  await addEntries()
  expect(await run(wrong, 'maintain')).toMatchObject(notSealed)
  expect(await database.admin.query('select from platform.idempotency_keys')).toEqual([])
  expect(await run(right, 'maintain')).toMatchObject({ code: 0 })
})

test('without keys maintenance ends with 3 once the audit log was sealed', async () => {
  const without = () =>
    tenantry(['maintain'], { env: { SYSTEM_DATABASE_URL: database.systemUrl, NODE_ENV: 'production' } })
  expect(await run(right, 'maintain')).toMatchObject({ code: 0 })
  expect(await without()).toMatchObject({ code: 0 })
  await addEntries()
  const { code, stdout } = await without()
  expect(code).toBe(3)
  expect(stdout).toContain(
    'Earlier audit entries were sealed, and new ones are not: set TENANTRY_KEYS to the keys of the application.\n',
  )
  expect(stdout).not.toContain('Without master keys')
  expect(await run(right, 'maintain')).toMatchObject({ code: 0 })
})

test('verifying tells a key that is not there from tampering', async () => {
  const [one = '', two = ''] = organizations
  const all = await run(key('k2', 3), 'audit verify')
  expect(all).toMatchObject({ code: 3, stdout: containing('): cannot be verified: no key k1 in TENANTRY_KEYS\n') })
  expect(all.stdout).toMatch(/verified, 3 without their key\n/)
  await database.admin.query(`update platform.audit_logs set event_type = 'y' where org_id = $1 and seq = 2`, [one])
  await database.admin.query(`update platform.audit_logs set hash = '\\x011b' where org_id = $1 and seq = 1`, [two])
  const { code, stdout } = await run(right, 'audit verify')
  expect(code).toBe(3)
  expect(stdout).toMatch(/: its content or its hash was changed\n/)
  expect(stdout).toMatch(/cannot be verified: its hash names no key\n/)
  expect(stdout).toMatch(/verified, 2 broken\n/)
})
