import { beforeAll, expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { KeyProvider } from '../../src/core/sealing.js'
import { keyringProvider } from '../../src/encryption/key-providers.js'
import { loadKeyring } from '../../src/encryption/keyring.js'
import { seed } from '../../src/migrations/seed.js'
import type { System } from '../../src/system.js'
import { openTenancy } from '../../src/tenancy.js'
import { useDatabase } from '../../src/testing/vitest.js'

const database = useDatabase()
beforeAll(() => seed(database.admin))

const key = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`
const wrongKey = (from: string, id: string) =>
  new InvalidInputError(from, `the key ${id} is not the one that this database was used with`)

/** As a process of its own with these keys. */
async function withKeys<T>(keys: string, work: (system: System) => Promise<T>, keyProvider?: KeyProvider): Promise<T> {
  const tenancy = await openTenancy({ url: database.appUrl, systemUrl: database.systemUrl, keys, keyProvider })
  try {
    return await work(tenancy.system({ actor: 'test', reason: 'a test' }))
  } finally {
    await tenancy.close()
  }
}

async function newOrganization(system: System): Promise<string> {
  const name = newId()
  const owner = { email: `${name}@example.com` }
  const values = { key: name, name, slug: `org-${name}`, plan: 'tier_enterprise', owner }
  return (await system.organizations.provision(values)).organization.id
}

test('one data key that does not open stops nobody else, while it is the only one under its master key', async () => {
  const [old, both] = [key('a', 1), `${key('b', 2)},${key('a', 1)}`]
  const victim = await withKeys(old, newOrganization)
  await withKeys(both, (system) => system.keys.rotate(victim))
  await database.admin.query(
    `update platform.org_keys set wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1) where org_id = $1 and kek_id = 'b'`,
    [victim],
  )
  await withKeys(both, newOrganization)
})

test('of two keys of one name the one that wraps and the one that seals are judged apart', async () => {
  const [right, wrong] = [key('c', 3), key('c', 4)]
  const provider = keyringProvider(loadKeyring(right))
  for (const _ of [1, 2]) await withKeys(right, newOrganization)
  await withKeys(right, (system) => system.audit.seal())
  await withKeys(
    wrong,
    async (system) => {
      await newOrganization(system)
      await expect(system.audit.seal()).rejects.toEqual(wrongKey('TENANTRY_KEYS', 'c'))
    },
    provider,
  )
  const other = keyringProvider(loadKeyring(wrong))
  await withKeys(
    right,
    async (system) => {
      await system.audit.seal()
      await expect(newOrganization(system)).rejects.toEqual(wrongKey('keyProvider', 'c'))
    },
    other,
  )
})

test('entries that somebody planted beside the sealed ones make no key wrong', async () => {
  const keys = key('e', 6)
  const provider = keyringProvider(loadKeyring(key('f', 7)))
  const org = await withKeys(keys, newOrganization, provider)
  const seal = () => withKeys(keys, (system) => system.audit.seal(org), provider)
  await seal()
  await database.admin.query(
    `insert into platform.audit_logs (org_id, id, event_type, seq, prev_hash, hash)
     select s.org_id, gen_random_uuid(), 'planted', s.seq - n % 3, '', substring(s.hash, 1, 2) || sha256(n::text::bytea)
     from platform.audit_seals s, generate_series(0, 99) n where s.org_id = $1`,
    [org],
  )
  await database.admin.query(
    `insert into platform.audit_logs (org_id, id, event_type) values ($1, gen_random_uuid(), 'real')`,
    [org],
  )
  expect(await seal()).toMatchObject({ entries: 1 })
})
