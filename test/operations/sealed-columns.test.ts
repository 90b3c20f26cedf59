import { inspect } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { DecryptError, DefinitionError, ForbiddenError, NotFoundError, RetryableError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { memoryKeyProvider } from '../../src/encryption/key-providers.js'
import { Secret } from '../../src/schema/shared/secret.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { openWithout } from '../../src/testing/walls.js'
import { recordingProvider, SealedDatabases, useVault, Vault } from '../support/use-vault.js'

const vaults = useVault()
const { teams } = vaults
const newVault = () => vaults.newVault()
const admin = <Row extends object>(text: string, values: unknown[] = []) =>
  teams.database.admin.query<Row>(text, values)

const cells = 'anon_key, service_role_key, jwt_secret'
const bytesOf = async (id: string) =>
  (
    await admin<{ anon_key: Buffer; service_role_key: Buffer; jwt_secret: Buffer }>(
      `select ${cells} from platform.credentials where id = $1`,
      [id],
    )
  )[0]

async function rotate(orgId: string): Promise<void> {
  await teams.system().keys.rotate(orgId)
}

test('a secret is stored encrypted, is in no row, and is revealed as a Secret', async () => {
  const { vault, row, secrets } = await newVault()
  expect(row).not.toHaveProperty('anonKey')
  expect(await vault.get(row.id)).not.toHaveProperty('anonKey')
  const stored = await bytesOf(row.id)
  for (const bytes of Object.values(stored ?? {})) expect(String(bytes)).not.toContain('marker')
  const revealed = await vault.reveal(row.id)
  expect(revealed.anonKey).toBeInstanceOf(Secret)
  expect(Object.fromEntries(Object.entries(revealed).map(([name, one]) => [name, one?.reveal()]))).toEqual(secrets)
  expect(inspect(revealed)).not.toContain('marker')
  expect(JSON.stringify(revealed)).toBe('{"anonKey":"[secret]","serviceRoleKey":"[secret]","jwtSecret":"[secret]"}')
})

test('takes a Secret as well as text, many rows at once, and null for no secret', async () => {
  const { org, projectIds, vault, row } = await newVault()
  await vault.replace(row.id, { anonKey: new Secret('hidden') })
  expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('hidden')
  await vault.replace(row.id, { anonKey: null })
  expect((await vault.reveal(row.id)).anonKey).toBeUndefined()
  const sealed = org.repository(SealedDatabases)
  const names = ['a', 'b', 'c']
  const made = await sealed.createMany(
    names.map((name) => ({ projectId: projectIds[0], name, type: 'redis', connectionString: `of ${name}` })),
  )
  for (const { id, name } of made) {
    expect((await sealed.reveal(id)).connectionString?.reveal()).toBe(`of ${name}`)
  }
})

test('what is no text, and a change of many rows, is refused before anything is sent', async () => {
  const { vault, row } = await newVault()
  for (const anonKey of [7, {}, new Uint8Array(3), '\ud800'])
    await expect(vault.replace(row.id, { anonKey })).rejects.toMatchObject({ code: 'invalid_input' })
  await expect(vault.replaceAll({ anonKey: 'plain' })).rejects.toThrow(DefinitionError)
  expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('anon-marker')
  await expect(vault.replaceAll({ anonKey: null })).resolves.toBe(1)
})

test('Drizzle’s builder cannot write text to a sealed column', async () => {
  const { org, row } = await newVault()
  const { credentials } = await import('../../src/schema/credentials.js')
  const { eq } = await import('drizzle-orm')
  const write = org.db
    .update(credentials)
    .set({ anonKey: 'plain' as never })
    .where(eq(credentials.id, row.id))
  await expect(Promise.resolve(write)).rejects.toThrow('anonKey: holds a value that cannot be written')
})

test('a write is one round trip once the key is in memory, and reveals ask the provider once', async () => {
  const { team, row } = await newVault()
  const { provider, unwrapped } = recordingProvider()
  const sent: number[] = []
  const tenancy = await vaults.open({
    keyProvider: provider,
    onQuery: ({ statements }) => sent.push(statements.length),
  })
  const vault = tenancy.forOrg(team.id).repository(Vault)
  await vault.replace(row.id, { anonKey: 'first' })
  sent.length = 0
  await vault.replace(row.id, { anonKey: 'second' })
  expect(sent).toEqual([3])
  for (let time = 0; time < 3; time++) expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('second')
  expect(unwrapped).toHaveLength(1)
})

describe('K01: a ciphertext that was moved', () => {
  test('to another row, column or table does not open', async () => {
    const { org, projectIds, vault, row } = await newVault()
    const other = await vault.create({
      projectId: projectIds[1],
      anonKey: 'other',
      serviceRoleKey: 'x',
      jwtSecret: 'y',
    })
    const sealed = org.repository(SealedDatabases)
    const database = await sealed.create({ projectId: projectIds[0], name: 'd', type: 'redis', connectionString: 'c' })
    const stored = await bytesOf(row.id)
    const moves = [
      ['update platform.credentials set anon_key = $2 where id = $1', other.id, () => vault.reveal(other.id)],
      ['update platform.credentials set jwt_secret = $2 where id = $1', row.id, () => vault.reveal(row.id)],
      [
        'update platform.databases set connection_string = $2 where id = $1',
        database.id,
        () => sealed.reveal(database.id),
      ],
    ] as const
    for (const [text, id, reveal] of moves) {
      await admin(text, [id, stored?.anon_key])
      await expect(reveal()).rejects.toThrow(DecryptError)
    }
    // A row of another table with the same id and the same name of the column.
    await admin(
      'insert into platform.databases (org_id, id, project_id, name, type, connection_string) values ($1, $2, $3, $4, $5, $6)',
      [org.id, row.id, projectIds[0], 'same id', 'redis', stored?.anon_key],
    )
    await expect(sealed.reveal(row.id)).rejects.toThrow(DecryptError)
  })

  test('to another organization does not open, and no key of another organization is looked up', async () => {
    const [ours, theirs] = [await newVault(), await newVault()]
    const { provider, unwrapped } = recordingProvider()
    const vault = (await vaults.open({ keyProvider: provider })).forOrg(ours.team.id).repository(Vault)
    const stolen = await bytesOf(theirs.row.id)
    await admin('update platform.credentials set anon_key = $2 where id = $1', [ours.row.id, stolen?.anon_key])
    await expect(vault.reveal(ours.row.id)).rejects.toThrow('or is not one of this organization')
    // Even with their row's id, and their data key copied beside ours.
    await admin('delete from platform.credentials where id = $1', [ours.row.id])
    await admin('update platform.credentials set anon_key = $2 where id = $1', [theirs.row.id, stolen?.anon_key])
    await admin(
      `insert into platform.credentials (org_id, id, project_id, ${cells})
       select $1, id, $2, ${cells} from platform.credentials where id = $3 and org_id = $4`,
      [ours.team.id, ours.projectIds[0], theirs.row.id, theirs.team.id],
    )
    await expect(vault.reveal(theirs.row.id)).rejects.toThrow(DecryptError)
    expect(unwrapped.filter(({ orgId }) => orgId !== ours.team.id)).toEqual([])
    await admin(
      `insert into platform.org_keys (org_id, id, kek_id, wrapped, state)
       select $1, id, kek_id, wrapped, 'decrypt_only' from platform.org_keys where org_id = $2`,
      [ours.team.id, theirs.team.id],
    )
    await expect(vault.reveal(theirs.row.id)).rejects.toThrow(DecryptError)
    expect(unwrapped.filter(({ orgId }) => orgId !== ours.team.id)).toEqual([])
    expect((await theirs.vault.reveal(theirs.row.id)).anonKey?.reveal()).toBe('anon-marker')
  })
})

test('the predicate alone keeps another organization’s key apart', async () => {
  const { admin, appUrl } = teams.database
  const { tenancy, addKey } = await openWithout({ admin, appUrl, without: 'row security' })
  onTestFinished(() => tenancy.close({ drain: 0 }))
  const newOne = async () => {
    const orgId = await createOrganization(admin)
    await addKey(orgId)
    const org = tenancy.forOrg(orgId)
    const { id } = await org.projects.create({ name: 'One', slug: 'one' })
    return org.repository(Vault).create({ projectId: id, anonKey: 'marker' })
  }
  const [ours, theirs] = [await newOne(), await newOne()]
  const stolen = await bytesOf(theirs.id)
  await admin.query('update platform.credentials set anon_key = $2 where id = $1', [ours.id, stolen?.anon_key])
  const reveal = tenancy.forOrg(ours.orgId).repository(Vault).reveal(ours.id)
  await expect(reveal).rejects.toThrow('or is not one of this organization')
})

test('K02: a stored value with a changed byte, or cut at any length, is never text and never empty', async () => {
  const { vault, row } = await newVault()
  const { anon_key: whole = Buffer.alloc(0) } = (await bytesOf(row.id)) ?? {}
  const set = (bytes: Uint8Array) =>
    admin('update platform.credentials set anon_key = $2 where id = $1', [row.id, Buffer.from(bytes)])
  const refused = async (bytes: Uint8Array, what: string) => {
    await set(bytes)
    const outcome = await vault.reveal(row.id).then(
      () => 'opened',
      (error: unknown) => (error as Error).constructor.name,
    )
    expect(outcome, what).toBe('DecryptError')
  }
  for (let at = 0; at < whole.length; at++) {
    const changed = Uint8Array.from(whole)
    changed[at] = (changed[at] ?? 0) ^ 0x20
    await refused(changed, `byte ${at}`)
    await refused(whole.subarray(0, at), `${at} bytes`)
  }
  await set(whole)
  expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('anon-marker')
})

test('an older ciphertext of the same cell opens, as the documents say', async () => {
  const { vault, row } = await newVault()
  const older = await bytesOf(row.id)
  await vault.replace(row.id, { anonKey: 'newer' })
  await admin('update platform.credentials set anon_key = $2 where id = $1', [row.id, older?.anon_key])
  expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('anon-marker')
})

describe('a key that was rotated meanwhile', () => {
  test('is noticed by a write, which seals again', async () => {
    const { team, row } = await newVault()
    const vault = vaults.second.forOrg(team.id).repository(Vault)
    await vault.replace(row.id, { anonKey: 'before' })
    await rotate(team.id)
    await vault.replace(row.id, { anonKey: 'after' })
    expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('after')
    const [active] = await admin<{ id: string }>(
      `select id from platform.org_keys where org_id = $1 and state = 'active'`,
      [team.id],
    )
    const stored = await bytesOf(row.id)
    expect(stored?.anon_key.subarray(2, 18).toString('hex')).toBe(active?.id.replaceAll('-', ''))
  })

  test('is noticed by a batch, which seals again', async () => {
    const { team, row, projectIds } = await newVault()
    const org = vaults.second.forOrg(team.id)
    await org.repository(Vault).replace(row.id, { anonKey: 'before' })
    await rotate(team.id)
    const [, made] = await org.batch((inner) => [
      inner.repository(Vault).replace(row.id, { anonKey: 'after' }),
      inner.repository(Vault).create({ projectId: projectIds[1], anonKey: 'new' }),
      inner.projects.count(),
    ])
    const vault = org.repository(Vault)
    expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('after')
    expect((await vault.reveal(made.id)).anonKey?.reveal()).toBe('new')
  })

  test('makes a transaction fail with a RetryableError, and with retries it is run again', async () => {
    const { team, row } = await newVault()
    const org = vaults.second.forOrg(team.id)
    await org.repository(Vault).replace(row.id, { anonKey: 'before' })
    await rotate(team.id)
    let runs = 0
    const change = (retries: number) =>
      org.transaction(
        async (inner) => {
          runs++
          await inner.repository(Vault).replace(row.id, { anonKey: 'in a transaction' })
        },
        { retries },
      )
    await expect(change(0)).rejects.toMatchObject({ code: 'retryable', reason: 'key' })
    expect((await org.repository(Vault).reveal(row.id)).anonKey?.reveal()).toBe('before')
    await change(0)
    await rotate(team.id)
    runs = 0
    await change(1)
    expect(runs).toBe(2)
    expect((await org.repository(Vault).reveal(row.id)).anonKey?.reveal()).toBe('in a transaction')
  })

  test('is not sealed with by a transaction that still sees it as active', async () => {
    const { team, row, projectIds } = await newVault()
    const org = vaults.second.forOrg(team.id)
    await org.repository(Vault).replace(row.id, { anonKey: 'before' })
    for (const isolation of ['repeatable read', 'serializable'] as const) {
      const late = org.transaction(
        async (inner) => {
          await inner.projects.count()
          await rotate(team.id)
          // A new row: the one that is there was changed by the rotation.
          await inner.repository(Vault).create({ projectId: projectIds[1], anonKey: 'late' })
        },
        { isolation },
      )
      await expect(late).rejects.toThrow(RetryableError)
      // Without a rotation in between such a transaction can seal.
      await org.transaction((inner) => inner.repository(Vault).replace(row.id, { anonKey: isolation }), {
        isolation,
        retries: 1,
      })
      expect((await org.repository(Vault).reveal(row.id)).anonKey?.reveal()).toBe(isolation)
    }
  })
})

test('inside a transaction with one connection a key is asked for in its turn', async () => {
  const { team, row } = await newVault()
  const { openTenancy } = await import('../../src/tenancy.js')
  const { keys } = await import('../support/use-teams.js')
  const tenancy = await openTenancy({ url: teams.database.appUrl, pool: { max: 1 }, keys })
  try {
    const revealed = await tenancy.forOrg(team.id).transaction(async (org) => {
      const vault = org.repository(Vault)
      await Promise.all([vault.replace(row.id, { anonKey: 'one' }), vault.replace(row.id, { jwtSecret: 'two' })])
      return vault.reveal(row.id)
    })
    expect([revealed.anonKey?.reveal(), revealed.jwtSecret?.reveal()]).toEqual(['one', 'two'])
  } finally {
    await tenancy.close({ drain: 0 })
  }
})

test('an organization without a key is told to make one', async () => {
  const orgId = await createOrganization(teams.database.admin)
  const org = teams.tenancy.forOrg(orgId)
  const { id } = await org.projects.create({ name: 'One', slug: 'one' })
  const create = org.repository(Vault).create({ projectId: id, anonKey: 'x' })
  await expect(create).rejects.toThrow('run `tenantry keys ensure`')
})

test('a master key that is missing is named in the log, and not in the answer', async () => {
  const { team, row } = await newVault()
  const tenancy = await vaults.open({ keyProvider: memoryKeyProvider() })
  const failure: unknown = await tenancy
    .forOrg(team.id)
    .repository(Vault)
    .reveal(row.id)
    .catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(DecryptError)
  expect(String(failure)).toContain('is wrapped by the master key test, and this process has dev')
  expect(JSON.stringify(failure)).not.toContain('master key')
})

test('a provider that fails is unavailable, without its words, and asked again the next time', async () => {
  const { team, row } = await newVault()
  const { provider } = recordingProvider()
  let fails = true
  const tenancy = await vaults.open({
    keyProvider: {
      ...provider,
      unwrap: (...given) => (fails ? Promise.reject(new Error('marker')) : provider.unwrap(...given)),
    },
  })
  const reveal = () => tenancy.forOrg(team.id).repository(Vault).reveal(row.id)
  const failure: unknown = await reveal().catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'unavailable' })
  expect(inspect(failure)).not.toContain('marker')
  fails = false
  expect((await reveal()).anonKey?.reveal()).toBe('anon-marker')
})

test('revealing asks for its permission, and finds no row of another organization', async () => {
  const { team, row, projectIds } = await newVault()
  const { userId: manager } = await team.join('read_only')
  const { userId: developer } = await team.join('developer')
  const key = { projectId: projectIds[0] }
  await expect((await team.as(manager)).repository(Vault).revealOne(key, ['anonKey'])).rejects.toThrow(ForbiddenError)
  const revealed = await (await team.as(developer)).repository(Vault).revealOne(key, ['anonKey'])
  expect(revealed.anonKey?.reveal()).toBe('anon-marker')
  const theirs = (await newVault()).vault
  await expect(theirs.reveal(row.id)).rejects.toThrow(NotFoundError)
  await expect(theirs.reveal(newId())).rejects.toThrow(NotFoundError)
  for (const [key, names] of [
    [{}, ['anonKey']],
    [{ projectId: projectIds[0] }, ['projectId']],
  ] as const)
    await expect(team.org.repository(Vault).revealOne(key, names)).rejects.toThrow(DefinitionError)
})
